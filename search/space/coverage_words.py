"""The coverage of a search space in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

COVERAGE = "coverage"
"""Key of the coverage in a job's facts."""


def coverage_lines(document: Mapping[str, Any]) -> list[str]:
    """Returns the coverage as text: a line on the layers, then on precisions left out and on open questions, if any."""
    alone = Counter(layer["why"] for layer in document["left_alone"])
    reasons = "; ".join(f"{count} × {why}" for why, count in alone.most_common(4)) + "; …" * (len(alone) > 4)
    lines = [
        f"{document['decided']} of {document['layers']} layers decided, {len(document['left_alone'])} left alone"
        + (f": {reasons}" if alone else "")
    ]
    runtimes: dict[tuple[str, str], list[str]] = {}  # runtimes of one family share an answer
    for row in document["left_out"]:
        runtimes.setdefault((row["precision"], _why(row)), []).extend([row["runtime"]] if row.get("runtime") else [])
    out = [
        f"{precision}{' in ' if names else ''}{' and '.join(names)} ({why})"
        for (precision, why), names in runtimes.items()
    ]
    lines += [f"left out: {', '.join(out)}"] if out else []
    open_questions = [f"{row['precision']} in {row['runtime']}" for row in document.get("unanswered", ())]
    return lines + (
        [f"not benchmarked, for lack of time or because the machine was busy: {', '.join(open_questions)}"]
        if open_questions
        else []
    )


def _why(row: Mapping[str, Any]) -> str:
    """Returns the answer that ruled a precision out: ``0.71x, 0.69 to 0.73``, or a reason."""
    if not row.get("ci95"):
        return str(row["why"])
    suffix = ": fp32 is faster there" if row.get("runtime") else ""
    return f"{row['ratio']:.2f}x, {row['ci95'][0]:.2f} to {row['ci95'][1]:.2f}{suffix}"
