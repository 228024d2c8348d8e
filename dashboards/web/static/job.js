// Follows one job through a single event stream: the chart is redrawn and the tables are refreshed at most once in two seconds.
"use strict";

(() => {
  const REDRAW_MS = 2000;
  const REST = 4; // a long job is redrawn less often, so that most of the time is the reader's
  const ANNOUNCE_MS = 20000;
  const live = document.getElementById("live");
  const { mountChart, mountLearning, refresh, connection } = window.Paretune;
  const chart = mountChart();
  const learning = mountLearning();
  const rows = new Map();
  let head = null;
  let stale = false;
  let waiting = false;
  let spoken = { at: 0, state: "" };

  async function redraw() {
    waiting = true;
    stale = false;
    const started = performance.now();
    if (chart !== null && head !== null) chart.update({ ...head, trials: [...rows.values()] });
    try {
      await refresh(live);
      await learning.update();
    } catch (error) {
      connection(`The server does not answer (${error.message}).`);
    }
    setTimeout(() => {
      waiting = false;
      if (stale) redraw();
    }, Math.max(REDRAW_MS, REST * (performance.now() - started)));
  }

  function schedule() {
    stale = true;
    if (!waiting) redraw();
  }

  // Spoken progress: a change of state at once, figures only now and then.
  function announce(job) {
    const now = Date.now();
    if (job.state === spoken.state && now - spoken.at < ANNOUNCE_MS) return;
    const planned = job.progress.planned === null ? "" : ` of ${job.progress.planned}`;
    document.getElementById("announcement").textContent =
      `${job.state}: ${job.progress.finished}${planned} candidates, ${job.front_size} on the front`;
    spoken = { at: now, state: job.state };
  }

  const source = new EventSource(live.dataset.events);
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));

  on("job", (job) => {
    announce(job);
    schedule();
  });
  on("front", schedule);
  on("trials", (document) => {
    const { trials, ...rest } = document;
    head = rest;
    for (const row of trials) rows.set(row.trial, row);
    schedule();
  });
  on("end", () => {
    source.close();
    schedule();
  });
  on("problem", (problem) => connection(`${problem.detail} ${problem.hint || ""}`));
  source.addEventListener("open", () => connection(""));
  source.addEventListener("error", () => {
    connection(
      source.readyState === EventSource.CLOSED
        ? "The server no longer sends this job's progress; load the page again."
        : "The connection is lost; trying again.",
    );
  });
})();
