"""A capability document as a heat map and a table."""

from __future__ import annotations

from dashboards.figures import precision_title
from dashboards.words import Json


def capability_context(document: Json) -> Json:
    """Returns the context of the device's page: the document, its widths, and a row for each operator and precision."""
    widths = sorted({point["width"] for sweep in document["sweeps"] for point in sweep["points"]})
    rows = [_row(sweep, widths) for sweep in document["sweeps"] if sweep["precision"] != "fp32"]
    cells = [
        [x, y, cell["ratio"]]
        for y, row in enumerate(rows)
        for x, cell in enumerate(row["cells"])
        if cell is not None and cell["ratio"] is not None
    ]
    steps = [
        {
            "operator": sweep["operator"],
            "about": sweep["about"],
            "precision": precision_title(sweep),
            "step": sweep["step"],
        }
        for sweep in document["sweeps"]
        if sweep["saved_between_steps"] is not None
    ]
    heat = {"widths": widths, "rows": [row["title"] for row in rows], "cells": cells}
    return {"capability": document, "widths": widths, "rows": rows, "steps": steps, "heat": heat}


def _row(sweep: Json, widths: list[int]) -> Json:
    points = {point["width"]: point for point in sweep["points"]}
    return {
        "operator": sweep["operator"],
        "precision": precision_title(sweep),
        "title": f"{sweep['operator']} {precision_title(sweep)}",
        "executes": sweep["executes"],
        "cells": [points.get(width) for width in widths],
    }
