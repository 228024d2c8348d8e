// Keeps the list of jobs current while somebody looks at it.
"use strict";

(() => {
  const EVERY_MS = 10000;
  const list = document.getElementById("live");

  async function tick() {
    if (!document.hidden) {
      try {
        await window.Paretune.refresh(list);
        window.Paretune.connection("");
      } catch (error) {
        window.Paretune.connection(`The server does not answer (${error.message}); trying again.`);
      }
    }
    setTimeout(tick, EVERY_MS);
  }

  setTimeout(tick, EVERY_MS);
})();
