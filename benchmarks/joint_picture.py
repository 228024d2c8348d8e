"""Draws the README's picture from the committed rows of ``joint.py``: accuracy against speed-up in three spaces.

python benchmarks/joint_picture.py benchmarks/results/local-cpu-cf70e709/joint-64.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from benchmarks_path import ROOT
from matplotlib.figure import Figure

SEED = "0"
SPACES = {"joint": ("pruning and precision", "#0b5ea8"), "pruning": ("pruning alone", "#c05a00"),
          "precision": ("precision alone", "#6b7280")}  # fmt: skip


def main(rows: Path) -> None:
    """Draws the candidates of one seed, with the front of each space as a line."""
    with rows.open() as file:
        measured = [row for row in csv.DictReader(file) if row["seed"] == SEED and row["state"] == "done"]
    figure = Figure(figsize=(8.0, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for space, (label, colour) in SPACES.items():
        own = [row for row in measured if row["space"] == space]
        points = [(2 ** float(row["log2_speedup"]), 100 * float(row["accuracy"])) for row in own]
        front = sorted(point for point in points if not any(_dominates(other, point) for other in points))
        axes.scatter(*zip(*points, strict=True), s=14, color=colour, alpha=0.35, linewidths=0)
        axes.step(*zip(*front, strict=True), where="pre", color=colour, linewidth=1.6)
        axes.scatter(*zip(*front, strict=True), s=32, color=colour, label=label, zorder=3)
    axes.set(xscale="log", xlabel="Speed-up over fp32 (measured, 64-channel digits network)", ylabel="Accuracy (%)")
    axes.set_xticks([1, 2, 4, 8, 16], [f"{times}×" for times in (1, 2, 4, 8, 16)])
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(ROOT / "docs" / "images" / "trade-off.png")


def _dominates(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other != point and other[0] >= point[0] and other[1] >= point[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
