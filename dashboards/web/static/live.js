// Keeps a part of the page as the server renders it, changing only what differs: focus, scroll positions and opened
// details stay.
"use strict";

(() => {
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE && (node.dataset.key || node.id)) || null;

  function morph(current, next) {
    if (current.isEqualNode(next)) return;
    if (current.nodeType !== Node.ELEMENT_NODE) {
      current.nodeValue = next.nodeValue;
      return;
    }
    for (const { name } of [...current.attributes]) {
      if (name !== "open" && !next.hasAttribute(name)) current.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (name !== "open" && current.getAttribute(name) !== value) current.setAttribute(name, value);
    }
    morphChildren(current, next);
  }

  function morphChildren(current, next) {
    const keyed = new Map([...current.children].map((child) => [keyOf(child), child]));
    let place = current.firstChild;
    for (const child of [...next.childNodes]) {
      const key = keyOf(child);
      const alike = place !== null && keyOf(place) === null && place.nodeName === child.nodeName;
      const found = key === null ? (alike ? place : null) : keyed.get(key);
      if (!found || found.nodeName !== child.nodeName) {
        current.insertBefore(document.importNode(child, true), place);
      } else {
        if (found === place) place = place.nextSibling;
        else current.insertBefore(found, place);
        morph(found, child);
      }
    }
    while (place !== null) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  }

  // Fetch the fragment and bring the page to it. Elements with an id are matched by it; others of `element` stay.
  async function refresh(element) {
    const answer = await fetch(element.dataset.live, { headers: { Accept: "text/html" } });
    if (answer.status === 401) window.location.reload(); // leads to the log-in page, and back
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    const parts = [...fragment.children];
    if (parts.every((part) => part.id && document.getElementById(part.id))) {
      for (const part of parts) morph(document.getElementById(part.id), part);
    } else {
      morphChildren(element, fragment);
    }
  }

  // A note of what is wrong with the connection; empty hides it.
  function connection(text) {
    const note = document.getElementById("connection");
    if (note.textContent !== text) note.textContent = text;
    note.hidden = text === "";
  }

  window.Paretune = Object.assign(window.Paretune || {}, { refresh, connection });
})();
