// Draws the scatter of a trials document into a figure. Text reaches the page as text nodes only, never as markup:
// names come from a user's files.
"use strict";

(() => {
  const PLUS = "path://M4 0h2v4h4v2h-4v4h-2v-4h-4v-2h4z";
  const FOCUS_MARGIN = 0.12;

  class FrontChart {
    // `figure` is the element of _figure.html; `onSelect(candidateId)` is called for a clicked point.
    constructor(figure, onSelect) {
      this.figure = figure;
      this.canvas = figure.querySelector("[data-canvas]");
      this.button = figure.querySelector("[data-range]");
      this.titles = JSON.parse(figure.dataset.titles);
      this.units = JSON.parse(figure.dataset.units);
      this.onSelect = onSelect || (() => {});
      this.trials = null;
      this.axes = null;
      this.groups = null;
      this.everything = false;
      figure.hidden = false;
      this.button.addEventListener("click", () => {
        this.everything = !this.everything;
        this.draw();
      });
      this.open();
      new ResizeObserver(() => {
        this.chart.resize();
        this.draw();
      }).observe(this.canvas);
      // A changed theme needs a new instance: setTheme would drop the series.
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        this.chart.dispose();
        this.open();
        this.draw();
      });
    }

    open() {
      this.chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      this.chart.on("click", (event) => event.data && event.data.id && this.onSelect(event.data.id));
    }

    update(trials) {
      this.trials = trials;
      this.draw();
    }

    mark(candidateId, marked) {
      for (const seriesId of ["front", "contenders", "others", "infeasible"]) {
        const dataIndex = this.groups === null ? -1 : this.groups[seriesId].findIndex((point) => point.id === candidateId);
        if (dataIndex >= 0) this.chart.dispatchAction({ type: marked ? "highlight" : "downplay", seriesId, dataIndex });
      }
    }

    draw() {
      if (this.trials === null) return;
      const metrics = this.trials.objectives.map((objective) => objective.metric);
      if (this.axes === null) this.chooseAxes(metrics);
      const groups = group(this.trials, this.axes);
      this.groups = groups;
      const range = this.chooseRange(groups);
      this.chart.setOption(option(this, groups, range), { lazyUpdate: false });
      const count = groups.all.filter((point) => point.id).length;
      this.canvas.setAttribute(
        "aria-label",
        `Scatter plot of ${count} candidates, ${groups.front.length} of them on the front; the tables below hold the same points`,
      );
    }

    chooseAxes(metrics) {
      this.axes = { x: metrics.length > 1 ? metrics[1] : null, y: metrics[0] };
      if (metrics.length < 3) return;
      this.figure.querySelector("[data-axes]").hidden = false;
      for (const select of this.figure.querySelectorAll("[data-axis]")) {
        const axis = select.dataset.axis;
        select.replaceChildren(...metrics.map((metric) => new Option(this.titles[metric], metric)));
        select.value = this.axes[axis];
        select.addEventListener("change", () => {
          this.axes[axis] = select.value;
          this.draw();
        });
      }
    }

    // Far-off points would squeeze the front into a corner: then the view starts at the front, and a button shows all.
    chooseRange(groups) {
      const near = [...groups.front, ...groups.contenders, ...groups.baseline];
      const all = bounds(groups.all);
      const focus = near.length > 1 ? grow(bounds(near), FOCUS_MARGIN) : all;
      const outside = groups.all.filter((point) => !inside(point, focus)).length;
      const squeezed = outside > 0 && ["x", "y"].some((k) => size(all[k]) > 1.6 * size(focus[k]));
      this.button.hidden = !squeezed;
      this.button.textContent = this.everything ? "Show the front" : `Show all (${outside} outside)`;
      const chosen = squeezed && !this.everything ? overlap(focus, all) : all;
      return { x: ticks(chosen.x, this.canvas.clientWidth / 110), y: ticks(chosen.y, this.canvas.clientHeight / 60) };
    }
  }

  function group(trials, axes) {
    const groups = { front: [], contenders: [], others: [], infeasible: [], baseline: [] };
    for (const trial of trials.trials) {
      const point = toPoint(trial, axes, trial.trial);
      if (point === null || (trial.unchanged && trials.baseline !== null)) continue; // drawn once, as the baseline
      if (trial.on_front) groups.front.push(point);
      else if (trial.tied_with.length > 0) groups.contenders.push(point);
      else if (trial.state === "infeasible") groups.infeasible.push(point);
      else if (trial.state === "done") groups.others.push(point);
    }
    if (trials.baseline !== null) {
      const point = toPoint(trials.baseline, axes, 0);
      if (point !== null) groups.baseline.push(point);
    }
    groups.all = [...groups.front, ...groups.contenders, ...groups.others, ...groups.infeasible, ...groups.baseline];
    return groups;
  }

  // One point as ECharts takes it; null where a figure is missing. Without a second objective, x counts the trials.
  function toPoint(row, axes, number) {
    const x = axes.x === null ? number : row.values[axes.x];
    const y = row.values[axes.y];
    if (x === null || x === undefined || y === null || y === undefined) return null;
    const spans = { x: row.intervals[axes.x] || null, y: row.intervals[axes.y] || null };
    return { value: [x, y], name: row.candidate_id || "", id: row.candidate_id, row, spans };
  }

  function option(view, groups, range) {
    const colour = palette(view.figure);
    const { axes, titles, units, trials } = view;
    const direction = (metric) => (trials.objectives.find((o) => o.metric === metric) || { direction: "max" }).direction;
    const xTitle = axes.x === null ? "Candidate, in the order tried" : titled(titles[axes.x], direction(axes.x), "→", "←");
    const axis = (metric, scale) => ({
      type: "value",
      ...scale,
      nameTextStyle: { color: colour.quiet, fontSize: 12 },
      axisLine: { show: true, lineStyle: { color: colour.line } },
      axisTick: { show: false },
      axisLabel: {
        color: colour.quiet, fontSize: 12, hideOverlap: true, formatter: (value) => tick(value, metric === null ? null : units[metric], scale.interval),
      },
      splitLine: { lineStyle: { color: colour.line, opacity: 0.6 } },
    });
    const scatter = (id, points, symbol, symbolSize, itemStyle, z) => ({
      id, type: "scatter", data: points, symbol, symbolSize, itemStyle, z, progressive: 0, clip: true,
      emphasis: { scale: 1.5, itemStyle: { opacity: 1, borderColor: colour.ink, borderWidth: 1.5 } },
    });
    const two = trials.objectives.length === 2;
    return {
      animation: false,
      backgroundColor: "transparent",
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 18, top: 36, bottom: 34, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: {
        ...axis(axes.x, range.x), name: xTitle, nameLocation: "end", nameGap: 0,
        nameTextStyle: { color: colour.quiet, fontSize: 12, align: "right", verticalAlign: "top", padding: [28, 0, 0, 0] },
      },
      yAxis: {
        ...axis(axes.y, range.y), name: titled(titles[axes.y], direction(axes.y), "↑", "↓"), nameLocation: "end", nameGap: 14,
        nameTextStyle: { color: colour.quiet, fontSize: 12, align: "left", padding: [0, 0, 0, -36] },
      },
      tooltip: {
        trigger: "item", confine: true, transitionDuration: 0, padding: 0,
        backgroundColor: colour.surface, borderColor: colour.line, borderWidth: 1, textStyle: { color: colour.ink },
        formatter: (event) => tip(event.data.row, titles),
      },
      series: [
        {
          id: "step", type: "line", data: two ? staircase(groups.front, direction(axes.x), direction(axes.y)) : [],
          symbol: "none", silent: true, z: 2, lineStyle: { color: colour.front, width: 1.5 }, clip: true, tooltip: { show: false },
        },
        scatter("infeasible", groups.infeasible, "circle", 7, { color: "transparent", borderColor: colour.other, borderWidth: 1.2, opacity: 0.75 }, 1),
        scatter("others", groups.others, "circle", 7, { color: colour.other, opacity: 0.5 }, 1),
        whiskers(groups, colour),
        scatter("contenders", groups.contenders, "diamond", 12, { opacity: 1, color: colour.surface, borderColor: colour.contender, borderWidth: 2 }, 4),
        scatter("front", groups.front, "circle", 11, { opacity: 1, color: colour.front, borderColor: colour.surface, borderWidth: 1.5 }, 5),
        scatter("baseline", groups.baseline, PLUS, 14, { opacity: 1, color: colour.baseline }, 6),
      ],
    };
  }

  // The edge of what the front dominates: between two members, the corner that is worse in both.
  function staircase(front, xDirection, yDirection) {
    const points = front.map((point) => point.value).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const worse = (direction, a, b) => (direction === "max" ? Math.min(a, b) : Math.max(a, b));
    const line = [];
    points.forEach((point, i) => {
      if (i > 0) line.push([worse(xDirection, points[i - 1][0], point[0]), worse(yDirection, points[i - 1][1], point[1])]);
      line.push(point);
    });
    return line;
  }

  function whiskers(groups, colour) {
    const lines = [...groups.contenders, ...groups.front].flatMap((point, i) => {
      const [x, y] = point.value;
      const kind = i < groups.contenders.length ? 1 : 0;
      const found = [];
      if (point.spans.x) found.push([point.spans.x[0], y, point.spans.x[1], y, kind]);
      if (point.spans.y) found.push([x, point.spans.y[0], x, point.spans.y[1], kind]);
      return found;
    });
    return {
      id: "intervals", type: "custom", data: lines, silent: true, z: 3, clip: true, tooltip: { show: false },
      encode: { x: [0, 2], y: [1, 3] },
      renderItem: (params, api) => {
        const [x1, y1] = api.coord([api.value(0), api.value(1)]);
        const [x2, y2] = api.coord([api.value(2), api.value(3)]);
        const stroke = api.value(4) === 1 ? colour.contender : colour.front;
        return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth: 1.5, opacity: 0.55 } };
      },
    };
  }

  function tip(row, titles) {
    const box = document.createElement("div");
    box.className = "tip-body";
    const baseline = row.candidate_id === undefined;
    append(box, "strong", baseline ? "fp32 baseline" : `#${row.trial} ${row.candidate_id.slice(0, 8)}`);
    if (!baseline) append(box, "p", row.summary);
    if (row.reason) append(box, "p", row.reason);
    const list = append(box, "dl");
    for (const metric of Object.keys(titles).filter((name) => name in row.shown)) {
      append(list, "dt", titles[metric]);
      append(list, "dd", row.shown[metric]);
    }
    return box;
  }

  function append(parent, tag, text) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  const titled = (title, direction, up, down) => `${title} ${direction === "max" ? up : down} better`;

  // A tick of an axis whose ticks are `step` apart. Figures of candidates come as texts, rounded in one place.
  // `unit` is that of the table of metrics; null where the axis counts candidates.
  function tick(value, unit, step) {
    if (unit === null) return String(value);
    const text = value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    if (unit === "×") return `${text}×`;
    if (unit === "ms" || unit === "mJ") return `${text} ${unit}`;
    if (unit === "B") return bytes(value);
    if (Math.abs(value) < 10) return text;
    return value.toLocaleString("en", { maximumSignificantDigits: 6 });
  }

  function bytes(value) {
    const units = ["B", "kB", "MB", "GB"];
    let i = 0;
    while (Math.abs(value) >= 999.5 && i < units.length - 1) {
      value /= 1000;
      i += 1;
    }
    return i === 0 ? `${Math.round(value)} B` : `${threeDigits(value)} ${units[i]}`;
  }

  function threeDigits(value) {
    const extent = Math.abs(value);
    return value.toFixed(extent < 9.995 ? 2 : extent < 99.95 ? 1 : 0);
  }

  const size = ([low, high]) => high - low;
  const inside = (point, box) => ["x", "y"].every((k, i) => point.value[i] >= box[k][0] && point.value[i] <= box[k][1]);

  function bounds(points) {
    const range = (i) => {
      let low = Infinity;
      let high = -Infinity;
      for (const point of points) {
        low = Math.min(low, point.value[i]);
        high = Math.max(high, point.value[i]);
      }
      return low > high ? [0, 1] : [low, high];
    };
    return { x: range(0), y: range(1) };
  }

  const grow = (box, share) => {
    const wider = ([low, high]) => [low - share * (high - low), high + share * (high - low)];
    return { x: wider(box.x), y: wider(box.y) };
  };
  const overlap = (a, b) => {
    const common = (k) => [Math.max(a[k][0], b[k][0]), Math.min(a[k][1], b[k][1])];
    return { x: common("x"), y: common("y") };
  };

  // Round ends and steps around a range, about `count` of them; what never exceeds 1 keeps 1 as its end.
  function ticks([low, high], count) {
    const span = high - low || Math.abs(high) * 0.1 || 1;
    const raw = (span * 1.1) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const interval = [1, 2, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9)) * power;
    const min = Math.floor((low - span * 0.05) / interval) * interval;
    const max = Math.ceil((high + span * 0.05) / interval) * interval;
    return { min: low >= 0 && min < 0 ? 0 : min, max: high <= 1 && max > 1 ? 1 : max, interval };
  }

  function palette(element) {
    const style = getComputedStyle(element);
    const names = ["ink", "quiet", "line", "surface", "front", "contender", "baseline", "other"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  // A clicked point leads to its row; a row under the pointer or the focus marks its point.
  function linkRows(chart, container) {
    const rowOf = (event) => event.target instanceof Element && event.target.closest("[data-point]");
    for (const [name, marked] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]]) {
      container.addEventListener(name, (event) => {
        const row = rowOf(event);
        if (row) chart.mark(row.dataset.point, marked);
      });
    }
  }

  function showRow(prefix, candidateId) {
    const row = document.getElementById(`${prefix}point-${candidateId}`);
    if (row === null) return;
    for (let fold = row.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    document.querySelectorAll(".is-marked").forEach((other) => other.classList.remove("is-marked"));
    row.classList.add("is-marked");
    row.scrollIntoView({ block: "center" });
    const target = row.querySelector("summary") || row.querySelector("a");
    if (target) target.focus({ preventScroll: true });
  }

  // The trials document of several devices as that of one.
  function seenOn(trials, device) {
    if (device === undefined) return trials;
    const rows = trials.trials.map((row) => ({ ...row, ...row.devices[device] }));
    return { ...trials, ...trials.devices[device], trials: rows };
  }

  // The charts of this page, one a device, which are brought up to date together; null where their library is missing.
  function mountChart() {
    if (window.echarts === undefined) return null;
    const charts = [...document.querySelectorAll("figure.chart[data-titles]")].map((element) => {
      const { device, prefix = "" } = element.dataset;
      const chart = new FrontChart(element, (candidateId) => showRow(prefix, candidateId));
      linkRows(chart, prefix === "" ? document.body : document.getElementById(`${prefix}tables`));
      return { chart, device };
    });
    return { update: (trials) => charts.forEach(({ chart, device }) => chart.update(seenOn(trials, device))) };
  }

  window.Paretune = { mountChart };
})();
