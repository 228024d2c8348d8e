"""An analysis as one file: a page that opens without a network, or a picture."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboards.web.picture import policy, write_whole
from dashboards.web.plot import INK, PAGE, QUIET, frame, legend, one_line
from dashboards.web.rendering import render

Json = Mapping[str, Any]

_STATIC = Path(__file__).parent / "static"
_KINDS = (("quantised_db", "quantised", "#0b5ea8", "o"), ("pruned_db", "pruned", "#c05a00", "s"))
_MOST_LINES = 200
"""Most layers that are drawn; medians are of all."""


def save_png(document: Json, path: Path) -> None:
    """Writes the plot of an analysis document as a picture of 1600 by 1000 pixels.

    Signal to noise over size: a thin line for each layer, a thick one for their median, a dashed one for a normal
    distribution. Replaces ``path`` atomically; raises :class:`StorageError` if it cannot be written.
    """
    write_whole(path, _picture(document))


def save_html(document: Json, path: Path) -> None:
    """Writes one self-contained HTML file with the plot and the figures; as :func:`save_png`."""
    style = (_STATIC / "style.css").read_text(encoding="utf-8")
    picture = base64.b64encode(_picture(document)).decode("ascii")
    page = render("analysis.html", analysis=document, policy=policy(style), style=style, picture=picture)
    write_whole(path, page.encode("utf-8"))


def _picture(document: Json) -> bytes:
    from matplotlib.figure import Figure  # its import takes a second

    panels = 2 if "recovered" in document else 1
    drawing = Figure(figsize=(8.0 * panels, 5.0), dpi=200, facecolor=PAGE, layout="constrained")
    axes, *recovery_axes = drawing.subplots(1, panels, squeeze=False)[0]
    _draw(axes, document)
    for panel in recovery_axes:
        _draw_recovery(panel, document["recovered"])
    title = one_line(f"{document['model']}: what is left of the weights")
    axes.set_title(title, loc="left", color=INK, fontsize=10, fontweight="bold", pad=26, parse_math=False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A name may hold characters that the font lacks; they become boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        drawing.savefig(content, format="png")
    return content.getvalue()


def _draw(axes: Any, document: Json) -> None:
    sizes = [row["compression"] for row in document["bits"]]
    for key, label, color, marker in _KINDS:
        for layer in document["layers"][:_MOST_LINES]:
            axes.plot(sizes, _values(layer["points"], key), color=color, alpha=0.18, linewidth=0.8, zorder=2)
        medians = _values(document["bits"], key)
        axes.plot(sizes, medians, color=color, marker=marker, markersize=5, linewidth=1.8, zorder=4, label=label)
        normal = [row["gaussian"][key] for row in document["bits"]]
        axes.plot(sizes, normal, color=color, linewidth=1.0, ls="--", zorder=3, label=f"normal, {label}")
    _by_size(axes, document["bits"], "signal to noise, dB → better", columns=4)


def _draw_recovery(axes: Any, recovery: Json) -> None:
    """The figure before training (dashed) and after it."""
    points = recovery["points"]
    sizes = [row["compression"] for row in points]
    for key, label, color, marker in _KINDS:
        kind = key.removesuffix("_db")
        for when, style in (("before", "--"), ("after", "-")):
            values = [row[kind][when] for row in points]
            axes.plot(sizes, values, style, color=color, marker=marker, markersize=5, label=f"{label}, {when} training")
    axes.axhline(recovery["figure"], color=QUIET, linewidth=1.0, ls=":", label="as it is")
    _by_size(axes, points, "figure that training is judged by → better", columns=3)


def _by_size(axes: Any, rows: Sequence[Json], title: str, *, columns: int) -> None:
    """The frame of a plot over sizes."""
    axes.set_xscale("log")
    labels = [f"{row['compression']:.3g}×\n{row['bits']} bits" for row in rows]
    axes.set_xticks([row["compression"] for row in rows], labels)
    axes.set_xticks([], minor=True)
    frame(axes, "smaller than in 16 bits →", title)
    legend(axes, columns)


def _values(rows: Any, key: str) -> list[float]:
    """Figures to draw; a gap for lossless ones."""
    return [float("nan") if row[key] is None else row[key] for row in rows]
