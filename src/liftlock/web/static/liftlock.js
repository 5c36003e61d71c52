// What makes a page live: when the server says that something changed, the page asks for itself again, and
// what differs is put in place. Everything on every page works without it.
"use strict";

(() => {
  const main = document.getElementById("main");
  const pulse = document.getElementById("pulse");
  let stream = null;
  let isAsking = false;
  let askAgain = false;
  let timer = 0;

  // Make `old` what `fresh` is, keeping every element that stays: focus, typed text and open parts with it.
  const become = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || (old.id || "") !== (fresh.id || "")) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    const kept = old.nodeName === "DETAILS" ? ["open"] : [];
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes])
      if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
    if (old.nodeName === "TEXTAREA") return;
    const named = new Map([...old.children].filter((e) => e.id).map((e) => [e.id, e]));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const same = next.id && named.get(next.id);
      if (same && same !== at) old.insertBefore(same, at);
      const here = same || at;
      if (!here || (!same && here.id && fresh.querySelector(`:scope > #${CSS.escape(here.id)}`))) {
        old.insertBefore(next, at);
        continue;
      }
      at = here.nextSibling;
      become(here, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  const say = (state, words) => {
    pulse.hidden = false;
    if (pulse.className !== `pulse ${state}`) {
      pulse.className = `pulse ${state}`;
      pulse.textContent = words;
    }
  };

  const ask = async () => {
    if (isAsking) {
      askAgain = true;
      return;
    }
    isAsking = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
      // Where we are sent elsewhere (a sign-in that ran out, a run that has its own page now), we go there.
      if (answer.type === "opaqueredirect") location.reload();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (fresh) {
        document.title = page.title;
        become(main, document.adoptNode(fresh));
      }
    } catch {
      say("lost", "not connected");
    }
    isAsking = false;
    if (askAgain) {
      askAgain = false;
      ask();
    } else {
      later();
    }
  };

  // A page that shows something under way asks for itself now and then: bars grow between events.
  const later = () => {
    clearTimeout(timer);
    const seconds = Number(main.dataset.reload);
    if (seconds && !document.hidden) timer = setTimeout(ask, seconds * 1000);
  };

  const listen = () => {
    stream = new EventSource(main.dataset.live);
    stream.addEventListener("open", () => say("live", "live"));
    stream.addEventListener("changed", ask);
    stream.addEventListener("error", () => say("lost", "not connected"));
  };

  const age = (seconds) => {
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    return `${Math.max(Math.floor(seconds), 0)} s`;
  };

  const grow = () => {
    for (const time of document.querySelectorAll("time[data-ago]"))
      time.textContent = age((Date.now() - Date.parse(time.dateTime)) / 1000);
  };

  // A hidden page follows nothing; seen again, it is made new.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else if (!stream && main.dataset.live) {
      ask();
      listen();
    }
  });

  setInterval(grow, 20000);
  if (main.dataset.live) listen();
  later();
})();
