"""The documents of a job's front, on one device or on all."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.documents.candidates import candidate_of
from dashboards.documents.report import JobReport
from dashboards.documents.time_spent import time_document
from dashboards.figures import row_of
from dashboards.words import Json
from dashboards.words.answer import answer_of
from dashboards.words.health import verdict_on
from dashboards.words.metrics import USUAL_METRICS
from search.fronts.objectives import Objective
from search.fronts.pareto import Entry, best_compromise
from search.fronts.similar import group_similar
from search.space.coverage_words import COVERAGE
from search.store import Store, TrialRow, is_orphan

_OF_THE_JOB = (
    "job_id", "name", "state", "process_died", "wall_s", "time_s", "ending", "simulated", "evidence", "prediction",
    "notes",
)  # fmt: skip
_OF_A_DEVICE = ("device", "profile_digest")


def front_document(
    store: Store, job_id_or_prefix: str, device: str | None = None, report: JobReport | None = None
) -> Json:
    """Returns the newest version of a job's front, with its members' decisions and measurements.

    ``contenders`` have the shape of members; their ``tied_with`` names the members that they may equal. ``health`` is
    the verdict on the machine in an entry's last measurement (on the joint front: on any device). For a job on several
    devices it is the first device's front, with all of them in ``fronts`` and ``joint``; a given ``device`` has its own
    front alone. A ``report`` that was read already spares reading it.

    Raises :class:`NotFound` for an unknown job, or one that did not run on ``device``.
    """
    report = (report or JobReport.read(store, job_id_or_prefix)).on(device)
    document = front_of(report)
    parts = (document, *document.get("fronts", {}).values(), *filter(None, [document.get("joint")]))
    entries = [(part.get("profile_digest"), entry) for part in parts for entry in part["front"] + part["contenders"]]
    verdicts = store.trials.verdicts({entry["candidate_id"] for _, entry in entries})
    for profile_digest, entry in entries:
        entry["health"] = verdict_on(verdicts.get(entry["candidate_id"], ()), profile_digest)
    return document | {COVERAGE: report.coverage}


def front_of(report: JobReport) -> Json:
    """:func:`front_document` of a report, without ``health`` and coverage."""
    if report.views:
        return _front_on_all(report)
    stored = report.stored_front or {}
    miss = stored.get("nearest_miss")
    by_id = report.candidates.some({*report.members, *report.ties, *([miss["candidate_id"]] if miss else [])})
    members = [by_id[candidate_id] for candidate_id in report.members if candidate_id in by_id]
    tied = [candidate_id for candidate_id in report.ties if candidate_id not in report.members]
    contenders = [by_id[candidate_id] for candidate_id in tied if candidate_id in by_id]
    best = _best_compromise(report, members)
    if miss is not None and miss["candidate_id"] in by_id:
        miss = candidate_of(report, by_id[miss["candidate_id"]]) | {"reason": miss["reason"]}
    document = {
        "job_id": report.job.job_id,
        "name": report.job.name,
        "state": str(report.job.state),
        "process_died": is_orphan(report.job) and not report.job.detached,
        "device": report.job.device,
        "profile_digest": report.job.profile_digest,
        "simulated": report.profile.simulated,
        "evidence": str(report.evidence),
        "trials": report.counts(),
        "objectives": report.objectives,
        "constraints": list(report.job.spec.get("constraints") or []),
        "hypervolume": stored.get("hypervolume") or {"value": 0.0, "reference": {}},
        "wall_s": report.job.wall_s,
        "time_s": time_document(report.facts),
        "ending": report.facts.ending,
        "final": bool(stored.get("final", False)),
        "runtime": report.runtime,
        "baseline": report.baseline,
        "front": _members_of(report, members, best),
        "contenders": [candidate_of(report, trial) | {"like": None} for trial in contenders],
        "best_compromise": best,
        "prediction": report.job.prediction,
        "nearest_miss": miss,
        "notes": report.notes,
    }
    return document | {"answer": answer_of(document)}


def _best_compromise(report: JobReport, members: Sequence[TrialRow]) -> str | None:
    """Returns the id of the best compromise; None if no member is better than the unchanged model."""
    changed = [trial for trial in members if not report.is_unchanged(trial)]
    best = best_compromise(_entries(changed), _objectives(report), report.baseline["metrics"])
    return None if best is None else best.candidate_id


def _members_of(report: JobReport, members: Sequence[TrialRow], best: str | None) -> list[Json]:
    """Returns the members; ``like`` names the member that stands for one that equals it within noise."""
    changed = [trial for trial in members if not report.is_unchanged(trial)]
    groups = group_similar(_entries(changed), _figures_shown(report), best)
    likes = {name: other for name, other in groups.items() if name != other}
    return [candidate_of(report, trial) | {"like": likes.get(trial.candidate_id)} for trial in members]


def _figures_shown(report: JobReport) -> list[Objective]:
    """Returns the objectives, and the further figures that a front shows: members differ if one of these does."""
    objectives = _objectives(report)
    further = dict.fromkeys(USUAL_METRICS) if report.baseline["metrics"] else {}
    named = {objective.metric for objective in objectives}
    return [*objectives, *(Objective(name, row_of(name).better) for name in further if name not in named)]


def _objectives(report: JobReport) -> list[Objective]:
    return [Objective(o["metric"], o["direction"]) for o in report.objectives]


def _entries(trials: Sequence[TrialRow]) -> list[Entry]:
    return [Entry(trial.candidate_id, trial.number, trial.metrics) for trial in trials]


def _front_on_all(report: JobReport) -> Json:
    """Returns the first device's front, with those of all devices and the joint one."""
    first = front_of(next(iter(report.views.values())))
    return first | {
        "trials": report.counts(),
        "fronts": {label: _part(view) for label, view in report.views.items()},
        "joint": {key: value for key, value in _part(report.joint).items() if key not in _OF_A_DEVICE}
        | {"answer": None},
    }


def _part(view: JobReport) -> Json:
    """Returns a front document without the fields that all devices share."""
    whole = front_of(view)
    baseline = {"metrics": whole["baseline"]["metrics"]}
    return {key: value for key, value in whole.items() if key not in _OF_THE_JOB} | {"baseline": baseline}
