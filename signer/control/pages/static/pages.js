// Replaces the parts of a page that changed, as the server sends them. Without this file a reload does the same.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const live = document.getElementById("live");
  const address = main.dataset.live;
  const parts = [...main.querySelectorAll("section[id]")];
  // The browser comes back by itself after a lost connection, but not after a refusal, as when all places are taken.
  const RETRY_MS = 5000;
  let source = null;
  let retry = 0;

  const say = (text, ok) => {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("off", !ok);
  };

  // Makes `old` like `fresh` and keeps what is equal: the focus, a selection, an open <details>.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    children(old, fresh);
  };

  const children = (old, fresh) => {
    const now = [...old.childNodes];
    const then = [...fresh.childNodes];
    then.forEach((node, index) => (index < now.length ? morph(now[index], node) : old.append(node)));
    now.slice(then.length).forEach((node) => node.remove());
  };

  const take = (part) => (event) => {
    const fresh = new DOMParser().parseFromString(event.data, "text/html").body;
    children(part, fresh);
    say("Live", true);
  };

  const open = () => {
    clearTimeout(retry);
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.onopen = () => say("Live", true);
    source.onerror = () => {
      say("Not live: the signer's control process does not answer; signing does not depend on it.", false);
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        retry = setTimeout(open, RETRY_MS);
      }
    };
    source.addEventListener("over", () => location.reload());
    for (const part of parts) source.addEventListener(part.id, take(part));
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  // A tab that nobody sees takes no place among the streams and none of the browser's six connections.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
})();
