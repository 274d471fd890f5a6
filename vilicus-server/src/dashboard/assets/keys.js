// The keyboard, the palette, times in the reader's own zone, copying, and zooming into charts. All of it is a shortcut
// for what links and forms do, too.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const go = (address) => location.assign(address);

  // Times in the reader's zone beside those of the server.
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const localise = () => {
    for (const time of all("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime()) || time.dataset.done) continue;
      time.title = local.format(moment);
      if (time.textContent.trim() === time.dateTime) time.textContent = local.format(moment);
      time.dataset.done = "1";
    }
  };
  localise();
  new MutationObserver(localise).observe(document.body, { childList: true, subtree: true });

  // What is pasted elsewhere is copied with one press.
  if (navigator.clipboard) {
    for (const block of all("pre > code")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent);
        button.textContent = "Copied";
        setTimeout(() => (button.textContent = "Copy"), 2000);
      });
      block.parentElement.append(button);
    }
  }

  // j and k go through the checks.
  const rows = () => all("tr[data-check]");
  let at = -1;
  const choose = (step) => {
    const list = rows();
    if (!list.length) return;
    const now = list.findIndex((row) => row.contains(document.activeElement));
    at = Math.min(Math.max((now >= 0 ? now : at) + step, 0), list.length - 1);
    list[at].querySelector("a[href]")?.focus();
  };
  const chosen = () => document.activeElement?.closest("tr[data-check]");

  // a acknowledges and d sets a downtime: of the chosen check, or on its own page.
  const act = (key, path) => {
    const form = chosen()?.querySelector(`form[action$="${path}"]`);
    if (form) return form.requestSubmit();
    const details = document.querySelector(`details[data-key="${key}"]`);
    if (!details) return;
    details.open = true;
    details.querySelector("input:not([type=hidden])")?.focus();
  };

  const dialog = (title, ...content) => {
    const box = document.createElement("dialog");
    const heading = document.createElement("h2");
    heading.textContent = title;
    heading.id = "dialog-title";
    box.setAttribute("aria-labelledby", heading.id);
    box.append(heading, ...content);
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", (event) => event.target === box && box.close());
    document.body.append(box);
    box.showModal();
    return box;
  };

  const help = () => {
    const list = document.createElement("dl");
    list.className = "keys";
    const keys = {
      "/": "search", "j and k": "next and previous check", "Enter": "open it", "a": "acknowledge", "d": "downtime",
      "Ctrl K": "go anywhere", "g o": "overview", "g e": "events", "g n": "notifications", "g d": "downtimes", "?": "this help",
    };
    for (const [key, words] of Object.entries(keys)) {
      const [term, description] = [document.createElement("dt"), document.createElement("dd")];
      const shown = document.createElement("kbd");
      shown.textContent = key;
      term.append(shown);
      description.textContent = words;
      list.append(term, description);
    }
    const close = document.createElement("form");
    close.method = "dialog";
    const button = document.createElement("button");
    button.textContent = "Close";
    close.append(button);
    dialog("Keys", list, close);
  };

  // The palette finds pages here, and checks on the server.
  const palette = () => {
    const input = document.createElement("input");
    input.type = "search";
    input.setAttribute("aria-label", "Page, host or check");
    input.setAttribute("autocomplete", "off");
    const list = document.createElement("ul");
    list.className = "lines";
    const pages = all("header nav a").map((link) => ({ words: link.textContent, address: link.getAttribute("href") }));
    pages.push({ words: "Add a check", address: "/check/new" }, { words: "Add a host", address: "/host/new" });
    let latest = 0;
    const show = (found) => {
      list.replaceChildren(...found.slice(0, 12).map(({ words, address }) => {
        const [item, link] = [document.createElement("li"), document.createElement("a")];
        link.href = address;
        link.textContent = words;
        item.append(link);
        return item;
      }));
    };
    const search = async () => {
      const asked = ++latest;
      const wanted = input.value.trim().toLowerCase();
      const here = pages.filter((page) => page.words.toLowerCase().includes(wanted));
      show(here);
      if (!wanted) return;
      const answer = await fetch(`/?q=${encodeURIComponent(wanted)}`, { signal: AbortSignal.timeout(5000) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const checks = all("tr[data-check] th a", page);
      const found = checks.map((link) => ({ words: link.textContent, address: link.getAttribute("href") }));
      if (asked === latest) show([...here, ...found]);
    };
    let timer = null;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => search().catch(() => {}), 120);
    });
    const box = dialog("Go to", input, list);
    box.addEventListener("keydown", (event) => {
      const links = all("a", list);
      const now = links.indexOf(document.activeElement);
      if (event.key === "ArrowDown") (links[now + 1] ?? links[0])?.focus();
      else if (event.key === "ArrowUp") (links[now - 1] ?? input).focus();
      // A search field would only empty itself.
      else if (event.key === "Escape") box.close();
      else if (event.key === "Enter" && document.activeElement === input) links[0]?.click();
      else return;
      event.preventDefault();
    });
    show(pages);
    input.focus();
  };

  // A dialog that closes is still on the page for a moment: only an open one has the keys.
  const inDialog = () => document.querySelector("dialog[open]") !== null;
  let prefix = "";
  const keys = {
    "/": () => (document.getElementById("q") ? document.getElementById("q").focus() : go("/")),
    "?": help,
    j: () => choose(1),
    k: () => choose(-1),
    a: () => act("a", "/acknowledge"),
    d: () => act("d", "/downtime"),
    "g o": () => go("/"),
    "g e": () => go("/event"),
    "g n": () => go("/notification"),
    "g d": () => go("/downtime"),
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "k") {
      event.preventDefault();
      if (!inDialog()) palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || inDialog()) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = keys[prefix + event.key];
    prefix = event.key === "g" ? "g " : "";
    if (!action) return;
    event.preventDefault();
    action();
  });

  // Dragging over a chart zooms into that time.
  let from = null;
  const moment = (figure, event) => {
    const box = figure.querySelector("svg").getBoundingClientRect();
    // As the picture is drawn: 64 of its 720 units are for the numbers, 8 for the edge.
    const part = ((event.clientX - box.left) / box.width - 64 / 720) / ((720 - 64 - 8) / 720);
    const [since, until] = [Number(figure.dataset.since), Number(figure.dataset.until)];
    return Math.round(since + Math.min(Math.max(part, 0), 1) * (until - since));
  };
  document.addEventListener("pointerdown", (event) => {
    const figure = event.target.closest("figure.chart");
    if (figure && event.button === 0 && event.pointerType === "mouse") from = { figure, at: moment(figure, event) };
  });
  document.addEventListener("pointerup", (event) => {
    if (!from) return;
    const { figure, at } = from;
    from = null;
    const [since, until] = [at, moment(figure, event)].sort((one, other) => one - other);
    if (until - since > 10000 && document.getElementById("charts") && location.pathname.startsWith("/check/")) go(`?since=${since}&until=${until}`);
  });
})();
