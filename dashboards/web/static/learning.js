// Draws a job's learning curve: each reward, and the mean of each update. Fetched again when the page says that there
// are more rewards. Text reaches the page through the canvas or as text nodes only, never as markup.
"use strict";

(() => {
  const COLOURS = ["front", "contender", "modelled", "good", "baseline", "other"];

  class LearningCurve {
    constructor(figure) {
      this.figure = figure;
      this.canvas = figure.querySelector("[data-canvas]");
      this.rewards = [];
      this.chart = null;
      new ResizeObserver(() => this.chart && this.chart.resize()).observe(this.canvas);
      // A changed theme needs a new instance: setTheme would drop the series.
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    async update() {
      const count = Number(document.getElementById("learning").dataset.rewards);
      if (count === this.rewards.length) return;
      const answer = await fetch(this.figure.dataset.learning, { headers: { Accept: "application/json" } });
      if (!answer.ok) return; // the page itself says that the server does not answer
      this.rewards = (await answer.json()).rewards;
      this.draw();
    }

    draw() {
      if (this.chart !== null) this.chart.dispose();
      this.chart = null;
      this.figure.hidden = this.rewards.length === 0;
      if (this.figure.hidden) return;
      this.chart = echarts.init(this.canvas, null, { renderer: "canvas" });
      this.chart.setOption(option(curves(this.rewards)));
      this.canvas.setAttribute(
        "aria-label",
        `Learning curve of ${this.rewards.length} rewards; the table below holds their means and the best ones`,
      );
    }
  }

  // The rewards of each stage, policy and weight with the number of the rollout, and their mean at the end of each update.
  function curves(rewards) {
    const weights = new Set(rewards.map((reward) => reward.weight));
    const found = new Map();
    rewards.forEach((reward, i) => {
      const stage = reward.stage === null ? "" : `, stage ${reward.stage}`;
      const name = `${reward.policy}${weights.size > 1 ? `, weight ${reward.weight}` : ""}${stage}`;
      if (!found.has(name)) found.set(name, { name, points: [], updates: new Map() });
      const curve = found.get(name);
      curve.points.push({ value: [i + 1, reward.value], reward });
      curve.updates.set(reward.update, [...(curve.updates.get(reward.update) || []), [i + 1, reward.value]]);
    });
    return [...found.values()].map(({ name, points, updates }) => {
      const mean = (points) => points.reduce((sum, point) => sum + point[1], 0) / points.length;
      return { name, points, line: [...updates.values()].map((points) => [points[points.length - 1][0], mean(points)]) };
    });
  }

  function option(all) {
    const colour = palette();
    const labels = { color: colour.quiet, fontSize: 12 };
    const line = { show: true, lineStyle: { color: colour.line } };
    return {
      animation: false,
      backgroundColor: "transparent",
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 18, top: 36, bottom: 34, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      legend: { show: all.length > 1, right: 18, top: 0, textStyle: labels, data: all.map((curve) => curve.name) },
      xAxis: {
        type: "value", min: 1, minInterval: 1, axisLabel: labels, axisLine: { ...line, onZero: false }, axisTick: { show: false }, splitLine: { show: false },
        name: "Rollout", nameLocation: "end", nameGap: 0, nameTextStyle: { ...labels, align: "right", verticalAlign: "top", padding: [28, 0, 0, 0] },
      },
      yAxis: {
        type: "value", scale: true, axisLabel: labels, axisLine: line, axisTick: { show: false },
        splitLine: { lineStyle: { color: colour.line, opacity: 0.6 } },
        name: "Reward, with the mean of each update", nameLocation: "end", nameGap: 14,
        nameTextStyle: { ...labels, align: "left", padding: [0, 0, 0, -36] },
      },
      tooltip: {
        trigger: "item", confine: true, transitionDuration: 0, padding: 0,
        backgroundColor: colour.surface, borderColor: colour.line, borderWidth: 1, textStyle: { color: colour.ink },
        formatter: (event) => tip(event.data),
      },
      series: all.flatMap(({ name, points, line }, i) => {
        const shade = colour[COLOURS[i % COLOURS.length]];
        return [
          { id: `rewards ${name}`, name, type: "scatter", data: points, symbolSize: 6, progressive: 0, itemStyle: { color: shade, opacity: 0.45 } },
          { id: `means ${name}`, name, type: "line", data: line, symbol: "none", silent: true, tooltip: { show: false }, lineStyle: { color: shade, width: 2 }, itemStyle: { color: shade } },
        ];
      }),
    };
  }

  function tip({ value, reward }) {
    const box = document.createElement("div");
    box.className = "tip-body";
    const title = document.createElement("strong");
    title.textContent = `#${reward.trial}`;
    const text = document.createElement("p");
    text.textContent = `${reward.policy}, update ${reward.update}: reward ${value[1].toFixed(3)}`;
    box.append(title, text);
    return box;
  }

  function palette() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "quiet", "line", "surface", ...COLOURS];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  // The learning curve of this page, to be brought up to date; it updates nothing where the chart library is missing.
  function mountLearning() {
    const figure = document.getElementById("learning-figure");
    if (window.echarts === undefined) return { update: async () => {} };
    return new LearningCurve(figure);
  }

  window.Paretune = Object.assign(window.Paretune || {}, { mountLearning });
})();
