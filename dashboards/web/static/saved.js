// Draws the chart of a saved page from the data that it carries.
"use strict";

(() => {
  const chart = window.Paretune.mountChart();
  if (chart !== null) chart.update(JSON.parse(document.getElementById("trials").textContent));
})();
