"""The documents of all candidates of a job, with their objectives' values: the points of a scatter plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dashboards.documents.candidates import standing_of
from dashboards.documents.job_candidates import LoadedCandidates
from dashboards.documents.report import JobReport
from dashboards.figures import figure, interval
from dashboards.words import Json
from dashboards.words.metrics import USUAL_METRICS, baseline_value, metric_names
from dashboards.words.query import InvalidQuery
from evaluators.metrics import METRICS, base_of
from hwprofiles.suggestions import nearest
from search.fronts.objectives import Objective, metric_interval, metric_value
from search.states import FAILED, TrialState, states_of
from search.store import Store, TrialRow

_OF_A_VIEW = ("state", "reason", "on_front", "tied_with", "values", "intervals", "shown")


def trials_document(store: Store, job_id_or_prefix: str, device: str | None = None) -> Json:
    """Returns every candidate of a job in trial order with its objectives' values, on one device or on all.

    ``device`` and errors as in :func:`dashboards.documents.front.front_document`.
    """
    return trials_of(JobReport.read(store, job_id_or_prefix).on(device))


def candidates_document(
    store: Store,
    report: JobReport,
    device: str | None = None,
    state: str | None = None,
    sort: str = "trial",
    limit: int | None = None,
    after: int | None = None,
) -> Json:
    """Returns the candidates of a report that are in a state, in an order; with a ``limit`` a page of them.

    ``sort`` is ``trial`` or a metric, which lists the measured candidates with a figure of it; ``-`` in front begins
    with the highest. A page begins behind the candidate with the trial number ``after``, and has the ``next`` one.
    """
    wanted = states_of(state)
    if wanted is None:
        raise InvalidQuery(f"state: unknown state {state!r}", nearest(str(state), [*TrialState, FAILED]))
    key, down = sort.removeprefix("-"), sort.startswith("-")
    job_id, many = report.job.job_id, None if limit is None else limit + 1
    metric = None if key == "trial" else key
    if many is not None and (metric is None or store.trials.has_figures(job_id, metric)):
        rows = store.trials.page(job_id, wanted, many, metric=metric, after=after, down=down)
    else:
        rows = [row for row in report.candidates.all if row.state in wanted]
        rows = _sorted_by(rows, key, down) if key != "trial" else rows[:: -1 if down else 1]
        if metric is not None and not rows:
            _check_metric(report, metric)
        if after is not None:
            place = next((place for place, row in enumerate(rows, 1) if row.number == after), len(rows))
            rows = rows[place:]
        rows = rows[:many]
    document = trials_of(replace(report, candidates=LoadedCandidates(rows[:limit])).on(device))
    following = {} if limit is None else {"next": rows[limit - 1].number if len(rows) > limit else None}
    return document | following


def _sorted_by(rows: Sequence[TrialRow], metric: str, down: bool) -> list[TrialRow]:
    """Returns the candidates with a figure of the metric, in its order; equal ones in that of their trial numbers."""
    figures = {row.number: value for row in rows if (value := metric_value(row.metrics, metric)) is not None}
    listed = [row for row in rows if row.state.measured and row.number in figures]
    return sorted(listed, key=lambda row: (figures[row.number], row.number), reverse=down)


def _check_metric(report: JobReport, metric: str) -> None:
    """Raises :class:`InvalidQuery` for what is no metric of the table, the job, or its model once that is known."""
    names = [*(objective["metric"] for objective in report.objectives), *metric_names(report.baseline["metrics"])]
    if report.job.baseline is not None and metric not in names and base_of(metric) not in METRICS:
        raise InvalidQuery(f"sort: unknown metric {metric!r}", nearest(metric, ["trial", *dict.fromkeys(names)]))


def trials_of(report: JobReport) -> Json:
    """:func:`trials_document` of a report."""
    if report.views:
        return _trials_on_all(report)
    names = [objective["metric"] for objective in report.objectives]
    metrics = report.baseline["metrics"]
    values = _values(report, metrics)
    point = {name: baseline_value(metrics, name) if values[name] is None else values[name] for name in names}
    return {
        "job_id": report.job.job_id,
        "name": report.job.name,
        "state": str(report.job.state),
        "device": report.job.device,
        "simulated": report.profile.simulated,
        "evidence": str(report.evidence),
        "objectives": report.objectives,
        "baseline": {
            "values": point,
            "intervals": _intervals(metrics, names),
            "shown": _figures_in_words(metrics, point),
        }
        if metrics
        else None,
        "trials": [_row(report, trial, names) for trial in report.candidates.all],
    }


def _row(report: JobReport, trial: TrialRow, names: Sequence[str]) -> Json:
    values = _values(report, trial.metrics)
    return {
        "trial": trial.number,
        "candidate_id": trial.candidate_id,
        **standing_of(report, trial),
        "values": values,
        "intervals": _intervals(trial.metrics, names),
        "shown": _figures_in_words(trial.metrics, values),
    }


def _values(report: JobReport, metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the objectives' figures."""
    return {o["metric"]: Objective(o["metric"], o["direction"]).value(metrics) for o in report.objectives}


def _intervals(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[float]]:
    """Returns the 95 % intervals of the metrics that have one."""
    intervals = {name: metric_interval(metrics, name) for name in names}
    return {name: list(bounds) for name, bounds in intervals.items() if bounds is not None}


def _figures_in_words(metrics: Mapping[str, Any], values: Mapping[str, float | None]) -> dict[str, str]:
    """Returns the objectives' figures and the usual ones with their intervals, as a point's tooltip shows them."""
    usual = {name: metric_value(metrics, name) for name in USUAL_METRICS}
    return {name: _words(metrics, name, value) for name, value in {**usual, **values}.items() if value is not None}


def _words(metrics: Mapping[str, Any], name: str, value: float) -> str:
    bounds = metric_interval(metrics, name)
    return figure(value, name) + (f" ({interval(bounds, name)})" if bounds else "")


def _trials_on_all(report: JobReport) -> Json:
    """Returns the first device's trials, each with its values on every device and on all of them together."""
    views = {label: trials_of(view) for label, view in report.views.items()}
    joint = trials_of(report.joint)
    first = next(iter(views.values()))
    rows = [
        row
        | {
            "devices": {label: _part(view["trials"][place]) for label, view in views.items()},
            "joint": _part(joint["trials"][place]),
        }
        for place, row in enumerate(first["trials"])
    ]
    return first | {
        "devices": {label: _head(view) for label, view in views.items()},
        "joint": _head(joint),
        "trials": rows,
    }


def _head(trials: Mapping[str, Any]) -> Json:
    return {key: trials[key] for key in ("objectives", "baseline")}


def _part(row: Mapping[str, Any]) -> Json:
    return {key: row[key] for key in _OF_A_VIEW}
