// Keeps the page fresh: fetches it anew every few seconds and puts its content in place.
// Without this script the page works as well; it just stands still.
"use strict";
(() => {
  const every = 5000;
  let fresh = performance.now();

  // Read aloud by screen readers, so only what is news is said.
  const say = (text) => {
    const place = document.getElementById("live");
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Someone marks text here: it must not be taken away while they copy it.
  const marked = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && document.getElementById("content").contains(selection.anchorNode);
  };

  // How to find the focused thing again among new nodes.
  const focused = () => {
    const active = document.activeElement;
    if (!active || !document.getElementById("content").contains(active)) return null;
    if (active.matches("a[href]")) return `#content a[href="${CSS.escape(active.getAttribute("href"))}"]`;
    const place = active.closest("[id]");
    return place && `#${CSS.escape(place.id)} ${active.tagName}`;
  };

  const openOnes = () => new Set([...document.querySelectorAll("tr[id] details[open]")].map((d) => d.closest("tr").id));

  const show = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html");
    const main = next.getElementById("content");
    // No content: it is the login page, for the session has ended.
    if (!main) return location.reload();
    const open = openOnes();
    const focus = focused();
    const headline = next.querySelector("h1").textContent;
    const changed = headline !== document.querySelector("h1").textContent;
    document.getElementById("content").replaceChildren(...main.childNodes);
    document.title = next.title;
    say(changed ? headline : "");
    if (focus) document.querySelector(focus)?.focus({ preventScroll: true });
    for (const id of open) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
  };

  const refresh = async () => {
    if (document.hidden || marked()) return;
    try {
      const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(every) });
      if (!answer.ok && answer.status !== 401) throw new Error(String(answer.status));
      show(await answer.text());
      fresh = performance.now();
    } catch {
      say(`the server has not answered for ${Math.round((performance.now() - fresh) / 1000)} s`);
    }
  };

  const loop = async () => {
    await refresh();
    setTimeout(loop, every);
  };
  setTimeout(loop, every);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
})();
