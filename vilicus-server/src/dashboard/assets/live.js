// Keeps the page fresh: when something happened, and every few seconds anyway, it fetches the page anew and puts the
// parts that live in place. Without this script the page works as well; it just stands still.
"use strict";
(() => {
  const every = 5000;
  const atMost = 1000;
  let fresh = performance.now();
  let waiting = null;

  // Read aloud by screen readers, so only what is news is said.
  const say = (text) => {
    const place = document.getElementById("live");
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Someone marks text or writes here: it must not be taken away meanwhile.
  const inUse = (part) => {
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return true;
    const active = document.activeElement;
    return part.contains(active) && active.matches("input, select, textarea");
  };

  // How to find a thing again among new nodes.
  const placeOf = (element, part) => {
    const owner = element.closest("[id], [data-check]");
    const at = owner.dataset.check ? `[data-check="${CSS.escape(owner.dataset.check)}"]` : `#${CSS.escape(owner.id)}`;
    const href = element.getAttribute("href");
    return { selector: `${at} ${element.tagName}${href ? `[href="${CSS.escape(href)}"]` : ""}`, part: part.id };
  };

  const replace = (part, next) => {
    const active = document.activeElement;
    const focus = part.contains(active) && active !== part ? placeOf(active, part) : null;
    const open = [...part.querySelectorAll("details[open]")].map((one) => placeOf(one, part));
    part.replaceChildren(...next.childNodes);
    for (const one of open) document.querySelector(one.selector)?.setAttribute("open", "");
    if (focus) document.querySelector(focus.selector)?.focus({ preventScroll: true });
  };

  const show = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html");
    // No content: it is the login page, for the session has ended.
    if (!next.getElementById("content")) return location.reload();
    const changed = next.title !== document.title;
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const fresh = next.getElementById(part.id);
      if (fresh && !inUse(part) && fresh.innerHTML !== part.innerHTML) replace(part, fresh);
    }
    document.title = next.title;
    say(changed ? next.querySelector("h1").textContent : "");
    document.body.classList.remove("stale");
  };

  // A page that was the answer to a form has another address at which it goes on.
  const address = () => document.querySelector("[data-refresh]")?.dataset.refresh ?? location.href;

  const refresh = async () => {
    if (document.hidden || !document.querySelector("[data-live]")) return;
    try {
      const answer = await fetch(address(), { headers: { accept: "text/html" }, signal: AbortSignal.timeout(every) });
      if (!answer.ok && answer.status !== 401) throw new Error(String(answer.status));
      show(await answer.text());
      fresh = performance.now();
    } catch {
      say(`Stale: the server has not answered for ${Math.round((performance.now() - fresh) / 1000)} s`);
      document.body.classList.add("stale");
    }
  };

  const loop = async () => {
    waiting = null;
    await refresh();
    soon(every);
  };
  const soon = (wait) => {
    if (waiting && waiting.at <= performance.now() + wait) return;
    if (waiting) clearTimeout(waiting.timer);
    waiting = { at: performance.now() + wait, timer: setTimeout(loop, wait) };
  };
  soon(every);
  document.addEventListener("visibilitychange", () => document.hidden || soon(0));

  // What happens is told at once.
  const listen = () => {
    if (!document.querySelector("[data-live]")) return;
    const check = document.querySelector("[data-stream]");
    const stream = new EventSource(`/api/v1/event/stream/${check ? check.dataset.stream : ""}`);
    const happened = () => soon(Math.max(300, fresh + atMost - performance.now()));
    stream.onmessage = happened;
    const types = [
      "state", "telling", "flapping", "acknowledged", "acknowledgement_ended", "downtime", "ping", "notification",
      "channel", "configuration",
    ];
    for (const type of types) stream.addEventListener(type, happened);
  };
  listen();
})();
