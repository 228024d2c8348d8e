"""Templates, and their contexts: the documents arranged as tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import jinja2

from dashboards import figures
from dashboards.access.gate import VISITOR
from dashboards.evidence import EXPLANATIONS
from dashboards.words import Json, format_strip
from dashboards.words.answer import BEST_COMPROMISE, miss_in_words
from dashboards.words.candidates import filter_in_words, training_in_words
from dashboards.words.devices import device_in_words, figures_in_words
from dashboards.words.health import health_in_words
from dashboards.words.jobs import device_names
from dashboards.words.learning import curve_columns, curve_rows
from dashboards.words.metrics import USUAL_METRICS, baseline_value, metric_names
from dashboards.words.runtime import costs_by_runtime, costs_in_words
from dashboards.words.time_spent import spent_in_words
from search.fronts.objectives import metric_interval, metric_value
from search.states import TrialState

_FOLDER = Path(__file__).parent
ECHARTS = _FOLDER / "static" / "vendor" / "echarts.min.js"

_FAILURES = {str(state) for state in TrialState if state.finished and not state.measured}

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "miss_in_words": miss_in_words,
    "costs_by_runtime": costs_by_runtime,
    "costs_in_words": costs_in_words,
    "curve_columns": curve_columns,
    "curve_rows": curve_rows,
    "figure": figures.figure,
    "interval": figures.interval,
    "duration": figures.duration,
    "health_in_words": health_in_words,
    "moment": figures.moment,
    "metric_title": figures.metric_title,
    "short_title": figures.short_title,
    "spent_in_words": spent_in_words,
}
_environment.globals |= {
    "best_compromise": BEST_COMPROMISE,
    "baseline_value": baseline_value,
    "counted_formats": format_strip.count_formats,
    "device_figures": figures_in_words,
    "device_line": device_in_words,
    "device_names": device_names,
    "explained_evidence": EXPLANATIONS,
    "filter_in_words": filter_in_words,
    "formats_in_words": format_strip.formats_in_words,
    "blocks_of": format_strip.blocks_of,
    "metric_names": metric_names,
    "metric_value": metric_value,
    "metric_interval": metric_interval,
    "training_in_words": training_in_words,
    "visitor": VISITOR.get,
}


def render(template: str, **context: Any) -> str:
    """Returns a template as HTML; every value is escaped."""
    return _environment.get_template(template).render(**context)


def has_chart_library() -> bool:
    """Returns whether the chart library was downloaded."""
    return ECHARTS.is_file()


def chart_context(trials: Json) -> Json:
    """Returns what the chart's figure needs from a trials document: its axes' titles and units."""
    names = dict.fromkeys([*(o["metric"] for o in trials["objectives"]), *USUAL_METRICS])
    return {
        "objectives": trials["objectives"],
        "evidence": trials["evidence"],
        "titles": {name: figures.metric_title(name, trials["evidence"]) for name in names},
        "units": {name: figures.unit_of(name) for name in names},
    }


def views_context(front: Json, trials: Json) -> Json:
    """Returns the charts and tables of a job's devices, and the joint front if there are several.

    From a front document and its trials document; ``prefix`` and ``place`` distinguish devices on the page.
    """
    if "fronts" not in front:
        view = {"prefix": "", "place": "", **chart_context(trials), **tables_context(front, trials)}
        return {"views": [view], "joint": None}
    views = []
    fronts_of: dict[str, list[str]] = {row["candidate_id"]: [] for row in front["joint"]["front"]}
    for number, (label, own) in enumerate(front["fronts"].items(), 1):
        own_trials = trials_on(trials, label)
        tables = tables_context(front | own, own_trials)
        views.append({"prefix": f"d{number}-", "place": label, **chart_context(own_trials), **tables})
        for row in own["front"]:
            fronts_of.setdefault(row["candidate_id"], []).append(label)
    return {"views": views, "joint": front["joint"] | {"evidence": front["evidence"], "fronts_of": fronts_of}}


def trials_on(trials: Json, device: str) -> Json:
    """Returns the trials document of one of several devices; static/chart.js does the same."""
    rows = [row | row["devices"][device] for row in trials["trials"]]
    return {**trials, **trials["devices"][device], "device": device, "trials": rows}


def tables_context(front: Json, trials: Json) -> Json:
    """Returns the tables of a chart, with equal points, from a front document and its trials document."""
    names = [objective["metric"] for objective in front["objectives"]]
    shown = front["front"] + front["contenders"]
    also = [
        m for m in USUAL_METRICS if m not in names and any(metric_value(r["metrics"], m) is not None for r in shown)
    ]
    chosen = {row["candidate_id"] for row in shown}
    further = [row for row in trials["trials"] if row["candidate_id"] not in chosen and not row["unchanged"]]
    return {
        "front": front,
        "columns": names + also,
        "baseline": trials["baseline"],
        "shown": [row for row in front["front"] if not (row["unchanged"] or row["like"])] + front["contenders"],
        "similar": [row for row in front["front"] if row["like"]],
        "unchanged": next((row for row in trials["trials"] if row["unchanged"]), None),
        "likes": Counter(row["like"] for row in front["front"]),
        "others": [row for row in further if row["state"] in ("done", "infeasible")],
        "failed": [row for row in further if row["state"] in _FAILURES],
        "trial_of": {row["candidate_id"]: row["trial"] for row in trials["trials"]},
    }
