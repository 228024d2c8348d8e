"""The documents of candidates: alone, and as a front lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.documents.display import display_of, formats_of
from dashboards.documents.report import JobReport
from dashboards.words import Json
from dashboards.words.answer import comparison_of
from dashboards.words.candidates import UNCHANGED, decisions_summary, origin_in_words
from dashboards.words.format_strip import blocks_of, decided_formats, formats_in_words, formats_without_decision
from dashboards.words.health import last_health
from dashboards.words.runtime import costs_of
from search.fronts.metrics import QUALITY_CHECK, QUALITY_FROM, QUALITY_RUNTIME, SIMULATED_FORMATS
from search.short_names import candidate_name
from search.space.display import DISPLAY
from search.store import Store, TrialRow, candidate_id_of, digests_of

_MOST_NUMBERS = 16  # a longer list of numbers in a measurement is raw samples, not a summary


def candidate_document(store: Store, candidate_id_or_prefix: str) -> Json:
    """Everything stored about one candidate; its measurements without raw samples."""
    trial = store.trials.get(candidate_id_or_prefix)
    report = JobReport.read(store, trial.job_id)
    measurements = store.trials.measurements(trial.candidate_id)
    document = candidate_of(report, trial) | {
        "short_name": candidate_name(trial.job_id, trial.number),
        "job_id": trial.job_id,
        "job": report.job.name,
        "device": report.job.device,
        "profile_digest": report.job.profile_digest,
        "objectives": report.objectives,
        "evidence": str(report.evidence),
        "baseline": report.baseline,
        "health": last_health(measurements),
        **{name: trial.metrics.get(name) for name in (QUALITY_RUNTIME, QUALITY_FROM, QUALITY_CHECK)},
        "measurements": [without_samples(record) for record in measurements],
        "exports": store.exports.of_candidate(trial.candidate_id),
    }
    answer = None if document["unchanged"] or report.views else comparison_of(document, trial.metrics)
    document["answer"] = answer or None
    if report.views:
        labels = {digest: label for label, digest in digests_of(report.job).items()}
        for measured in document["measurements"]:
            measured["device"] = labels.get(measured["record"].get("profile_digest"))
        document["devices"] = _standings(report, trial.candidate_id)
    return document


def candidate_of(report: JobReport, trial: TrialRow) -> Json:
    """Returns one candidate with its decisions and metrics, as a front lists it."""
    formats = formats_of(report.space, trial.decisions, trial.metrics)
    display = display_of(report.space, trial.decisions, trial.metrics)
    return {
        "candidate_id": trial.candidate_id,
        "digest": trial.digest,
        "trial": trial.number,
        "block": trial.block,
        **standing_of(report, trial),
        "runtime": report.runtime_of(trial),
        "costs": costs_of(trial.metrics, report.baseline["metrics"]),
        "decisions": trial.decisions,
        **({"formats": formats} if formats else {}),
        **({"display": display} if display else {}),
        "metrics": {name: value for name, value in trial.metrics.items() if name != DISPLAY},
        "artifact_sha256": trial.artifact_sha256,
        "wall_s": trial.wall_s,
        **_confirmation(report, trial),
        **({"origin": _origin(trial)} if trial.origin else {}),
    }


def standing_of(report: JobReport, trial: TrialRow) -> Json:
    """Returns what became of a candidate, in short."""
    return {
        "state": str(trial.state),
        "reason": trial.reason,
        "strategy": trial.strategy,
        "simulated": trial.simulated or bool(trial.metrics.get(SIMULATED_FORMATS)),
        "on_front": trial.candidate_id in report.members,
        "unchanged": report.is_unchanged(trial),
        "tied_with": report.ties.get(trial.candidate_id, []),
        "summary": _summary_of(report, trial),
    }


def without_samples(value: Any) -> Any:
    """Returns a measurement with each list of raw samples replaced by their number."""
    if isinstance(value, Mapping):
        return {key: without_samples(item) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) > _MOST_NUMBERS and all(isinstance(item, int | float | list) for item in value):
            return {"samples": len(value)}
        return [without_samples(item) for item in value]
    return value


def _summary_of(report: JobReport, trial: TrialRow) -> str:
    """Returns a candidate's changes in a few words: its decisions, formats that only its training chose, and in
    a search in stages where it comes from."""
    formats = formats_without_decision(
        formats_of(report.space, trial.decisions, trial.metrics), decided_formats(report.space, trial.decisions)
    )
    words = decisions_summary(trial.decisions, report.space)
    if formats:
        trained = formats_in_words(blocks_of(formats))
        words = trained if words == UNCHANGED else f"{words}, {trained}"
    origin = origin_in_words(_origin(trial))
    return f"{words} ({origin})" if origin and words != UNCHANGED else words


def _confirmation(report: JobReport, trial: TrialRow) -> Json:
    """Returns whether a member's figures are from a final measurement, independent of its choice; if not, why."""
    stored = report.stored_front or {}
    unconfirmed = (stored.get("unconfirmed") or {}).get(trial.candidate_id)
    final = bool(stored.get("final")) and not trial.simulated and trial.candidate_id in report.members
    return {"confirmed": final and unconfirmed is None, "unconfirmed": unconfirmed}


def _origin(trial: TrialRow) -> Json:
    """Returns where the strategy had a candidate from; the candidate that it changes by its id."""
    origin = dict(trial.origin or {})
    base = origin.pop("base", None)
    return origin if base in (None, trial.digest) else {**origin, "base": candidate_id_of(trial.job_id, base)}


def _standings(report: JobReport, candidate_id: str) -> Json:
    """Returns a candidate's state and place on the front of each device."""
    standings = {}
    for label, view in report.views.items():
        trial = view.candidates.some([candidate_id])[candidate_id]
        own = standing_of(view, trial)
        standings[label] = {
            **{key: own[key] for key in ("state", "reason", "on_front", "tied_with")},
            "runtime": view.runtime_of(trial),
            "costs": costs_of(trial.metrics, view.baseline["metrics"]),
        }
    return standings
