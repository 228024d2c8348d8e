// Draws a device's speed-ups as a heat map. Text reaches the page through the canvas only, never as markup.
"use strict";

(() => {
  const figure = document.getElementById("heat-figure");
  if (figure === null || window.echarts === undefined) return;
  const canvas = figure.querySelector("[data-canvas]");
  const heat = JSON.parse(figure.dataset.heat);
  const ROW = 26;
  let chart = null;

  function palette() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "quiet", "line", "surface", "front", "contender"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  // Colour follows the logarithm, so that twice as fast and half as fast are as far from 1.
  function option() {
    const colour = palette();
    const cells = heat.cells.map(([x, y, ratio]) => ({ value: [x, y, Math.log2(ratio)], ratio }));
    // Beyond 8 times the colour stays: a few slow outliers would take it from all others.
    const most = Math.min(3, Math.max(1, ...cells.map((cell) => Math.abs(cell.value[2]))));
    const labels = { color: colour.quiet, fontSize: 12 };
    return {
      animation: false,
      backgroundColor: "transparent",
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 8, top: 8, bottom: 62, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: {
        type: "category", data: heat.widths.map(String), name: "channels", nameLocation: "middle", nameGap: 26,
        nameTextStyle: labels, axisLabel: labels, axisTick: { show: false }, axisLine: { show: false },
      },
      yAxis: {
        type: "category", data: heat.rows, inverse: true, axisLabel: { ...labels, interval: 0 }, axisTick: { show: false },
        axisLine: { show: false },
      },
      tooltip: {
        confine: true, transitionDuration: 0, backgroundColor: colour.surface, borderColor: colour.line,
        textStyle: { color: colour.ink, fontSize: 13 },
        formatter: (event) => {
          const box = document.createElement("div");
          const [x, y] = event.data.value;
          box.textContent = `${heat.rows[y]}, ${heat.widths[x]} channels: ${event.data.ratio.toFixed(2)}×`;
          return box;
        },
      },
      visualMap: {
        min: -most, max: most, calculable: false, orient: "horizontal", left: "center", bottom: 0, itemHeight: 160, itemWidth: 12,
        text: [`${(2 ** most).toFixed(1)}× faster or more`, `${(2 ** most).toFixed(1)}× slower or more`], textStyle: labels,
        inRange: { color: [colour.contender, colour.surface, colour.front] },
      },
      series: [{
        id: "gains", type: "heatmap", data: cells, progressive: 0,
        itemStyle: { borderColor: colour.line, borderWidth: 0.5 },
        label: {
          show: canvas.clientWidth / heat.widths.length > 42, fontSize: 11, color: colour.ink,
          formatter: (event) => event.data.ratio.toFixed(2),
        },
      }],
    };
  }

  function open() {
    if (chart !== null) chart.dispose();
    chart = echarts.init(canvas, null, { renderer: "canvas", height: heat.rows.length * ROW + 90 });
    chart.setOption(option());
  }

  figure.hidden = false;
  open();
  let width = canvas.clientWidth;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    open();
  }).observe(canvas);
  // A changed theme needs a new instance: setTheme would drop the series.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", open);
})();
