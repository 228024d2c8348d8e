"""The scatter of a trials document with matplotlib, as the page draws it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from dashboards import figures
from dashboards.evidence import Evidence

Json = Mapping[str, Any]
Point = tuple[float, float]

PAGE, INK, QUIET, LINE = "#ffffff", "#1c1f24", "#5c636e", "#e2e4e6"
_LEGEND = ("Pareto front", "contender", "fp32 baseline", "dominated", "breaks a constraint")
_FRONT, _CONTENDER, _OTHER = "#0b5ea8", "#c05a00", "#8b929c"
_NOT_MEASURED = "#7446ad"

# As in static/chart.js: when the view ends near the front, and how far beyond it.
_SQUEEZED, _MARGIN = 1.6, 0.12


def draw(axes: Any, trials: Json) -> None:
    """Draws a trials document into matplotlib axes: everything but their title."""
    objectives = trials["objectives"]
    colour = _FRONT if trials["evidence"] == Evidence.MEASURED else _NOT_MEASURED
    up = objectives[0]
    across = objectives[1] if len(objectives) > 1 else None
    groups = _group(trials["trials"])
    for name, style in (
        ("infeasible", {"facecolors": "none", "edgecolors": _OTHER, "label": "breaks a constraint"}),
        ("others", {"color": _OTHER, "alpha": 0.5, "linewidths": 0, "label": "dominated"}),
    ):
        points = _points(groups[name], across, up)
        if points:
            axes.scatter(*zip(*points, strict=True), s=18, zorder=2, **style)
    front = _points(groups["front"], across, up)
    if front and len(objectives) == 2:
        line = _staircase(front, objectives[1]["direction"], up["direction"])
        axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.4, zorder=3)
    _draw_points(axes, groups["contenders"], across, up, color=_CONTENDER, marker="D", fill="none", label="contender")
    _draw_points(axes, groups["front"], across, up, color=colour, marker="o", fill=colour, label="Pareto front")
    baseline = [] if trials["baseline"] is None else _points([trials["baseline"] | {"trial": 0}], across, up)
    for x, y in baseline:
        axes.plot(x, y, "P", color=INK, markersize=8, mec=PAGE, mew=0.6, zorder=6, ls="", label="fp32 baseline")
    _dress(axes, across, up, trials["evidence"])
    near = baseline + front + _points(groups["contenders"], across, up)
    _focus(axes, near, _points(groups["others"] + groups["infeasible"], across, up))


def _draw_points(
    axes: Any, rows: Sequence[Json], across: Json | None, up: Json, *, color: str, marker: str, fill: str, label: str
) -> None:
    """Points with their 95 % intervals."""
    for row in rows:
        for x, y in _points([row], across, up):
            spans = {"xerr": None if across is None else _arms(row, across, x), "yerr": _arms(row, up, y)}
            axes.errorbar(
                x, y, **spans, fmt=marker, color=color, mfc=fill, mec=color, markersize=6, elinewidth=1.2, capsize=0,
                zorder=5, label=label,
            )  # fmt: skip
            label = "_"


def _focus(axes: Any, near: Sequence[Point], far: Sequence[Point]) -> None:
    """Limits the picture to the front's surroundings if far points would squeeze the front into a corner."""
    if len(near) < 2 or not far:
        return
    views, squeezed = [], False
    for ours, distant in zip(zip(*near, strict=True), zip(*far, strict=True), strict=True):
        low, high = min(ours), max(ours)
        start, end = min(low, *distant), max(high, *distant)
        room = _MARGIN * (high - low)
        squeezed = squeezed or end - start > _SQUEEZED * (high - low + 2 * room)
        views.append((max(low - room, start - room / 2), min(high + room, end + room / 2)))
    if not squeezed or any(low == high for low, high in views):  # equal points have no surroundings
        return
    (left, right), (bottom, top) = views
    outside = sum(not (left <= x <= right and bottom <= y <= top) for x, y in far)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.annotate(f"{outside} more outside", (0, 0), (4, 6), "axes fraction", "offset points", color=QUIET, fontsize=8)


def _dress(axes: Any, across: Json | None, up: Json, evidence: str) -> None:
    """Titles, ticks, grid and legend."""
    title = "Candidate, in the order tried" if across is None else _axis_title(across, evidence)
    frame(axes, title, _axis_title(up, evidence))
    if across is not None:
        axes.xaxis.set_major_formatter(_formatter(across["metric"]))
    axes.yaxis.set_major_formatter(_formatter(up["metric"]))
    handles, labels = axes.get_legend_handles_labels()
    ordered = sorted(zip(labels, handles, strict=True), key=lambda pair: _LEGEND.index(pair[0]))
    if ordered:
        legend(axes, len(ordered), [handle for _, handle in ordered], [label for label, _ in ordered])


def frame(axes: Any, across: str, up: str) -> None:
    """The frame of all plots: titles of axes, grid, ticks and two lines."""
    axes.set_xlabel(across, color=QUIET, fontsize=8.5, loc="right", parse_math=False)
    axes.set_ylabel(up, color=QUIET, fontsize=8.5, loc="top", parse_math=False)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0, labelsize=8.5)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(LINE)


def legend(axes: Any, columns: int, *entries: Any) -> None:
    """The legend above the plot; ``entries`` are its handles and labels, by default all."""
    axes.legend(
        *entries, ncols=columns, frameon=False, fontsize=8.5, labelcolor=QUIET, loc="lower left",
        bbox_to_anchor=(-0.01, 1.0), borderpad=0.2, handletextpad=0.4, columnspacing=1.4,
    )  # fmt: skip


def _formatter(metric: str) -> Any:
    from matplotlib.ticker import FuncFormatter, ScalarFormatter

    unit = figures.unit_of(metric)
    if unit == "×":
        return FuncFormatter(lambda value, _: f"{value:g}×")
    if unit == "B":
        return FuncFormatter(lambda value, _: figures.byte_size(value))
    return ScalarFormatter(useOffset=False)


def _group(rows: Sequence[Json]) -> dict[str, list[Json]]:
    groups: dict[str, list[Json]] = {"front": [], "contenders": [], "infeasible": [], "others": []}
    for row in rows:
        if row["unchanged"]:
            continue  # drawn once, as the baseline
        if row["on_front"]:
            groups["front"].append(row)
        elif row["tied_with"]:
            groups["contenders"].append(row)
        elif row["state"] == "infeasible":
            groups["infeasible"].append(row)
        else:
            groups["others"].append(row)
    return groups


def _points(rows: Sequence[Json], across: Json | None, up: Json) -> list[Point]:
    """Returns the points of the rows that have all figures; without a second objective, x counts the trials."""
    pairs = (
        (row["trial"] if across is None else row["values"][across["metric"]], row["values"][up["metric"]])
        for row in rows
    )
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _staircase(points: Sequence[Point], x_direction: str, y_direction: str) -> list[Point]:
    """Returns the edge of the dominated area: between two points, the corner that is worse in both objectives."""
    worse_x = min if x_direction == "max" else max
    worse_y = min if y_direction == "max" else max
    ordered = sorted(points)
    line = ordered[:1]
    for before, after in itertools.pairwise(ordered):
        line += [(worse_x(before[0], after[0]), worse_y(before[1], after[1])), after]
    return line


def _arms(row: Json, objective: Json, value: float) -> list[list[float]] | None:
    """Returns the interval's distances below and above the value, in matplotlib's shape."""
    bounds = row["intervals"].get(objective["metric"])
    return None if bounds is None else [[max(0.0, value - bounds[0])], [max(0.0, bounds[1] - value)]]


def _axis_title(objective: Json, evidence: str) -> str:
    better = "→" if objective["direction"] == "max" else "←"
    return f"{one_line(figures.metric_title(objective['metric'], evidence))} {better} better"


def one_line(text: str) -> str:
    """Returns a text without line breaks or other unprintable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
