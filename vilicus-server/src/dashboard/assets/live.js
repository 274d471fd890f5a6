// Keeps the page fresh: fetches it anew every few seconds and puts its content in place.
// Without this script the page works as well; it just stands still.
"use strict";
(() => {
  const every = 5000;
  let fresh = performance.now();

  const say = (text) => {
    const place = document.getElementById("live");
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Someone reads or types here: what they hold must not be taken away.
  const busy = () => {
    const main = document.getElementById("content");
    const selected = document.getSelection();
    const holds = (node) => node && node !== document.body && main.contains(node);
    return holds(document.activeElement) || (selected && !selected.isCollapsed && holds(selected.anchorNode));
  };

  const openOnes = () => new Set([...document.querySelectorAll("tr[id] details[open]")].map((d) => d.closest("tr").id));

  const show = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html");
    const main = next.getElementById("content");
    // No content: it is the login page, for the session has ended.
    if (!main) return location.reload();
    const open = openOnes();
    document.getElementById("content").replaceChildren(...main.childNodes);
    document.title = next.title;
    for (const id of open) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
  };

  const refresh = async () => {
    if (document.hidden || busy()) return;
    try {
      const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(every) });
      if (!answer.ok && answer.status !== 401) throw new Error(String(answer.status));
      show(await answer.text());
      fresh = performance.now();
    } catch {
      say(` · the server has not answered for ${Math.round((performance.now() - fresh) / 1000)} s`);
    }
  };

  const loop = async () => {
    await refresh();
    setTimeout(loop, every);
  };
  setTimeout(loop, every);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
})();
