"""The documents of a job's status: state, progress, budget and error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dashboards.documents.front import front_of
from dashboards.documents.report import JobReport
from dashboards.documents.time_spent import left_document, time_document
from dashboards.words import Json
from search.folders import data_folder
from search.fronts.objectives import metric_value
from search.short_names import short_name
from search.space.candidate import Space
from search.space.coverage_words import COVERAGE
from search.states import JobState
from search.store import Store, is_orphan
from search.trials.activity import notices


def job_document(store: Store, job_id_or_prefix: str) -> Json:
    """Returns a job's status with the coverage of its space."""
    return status_of(store, JobReport.read(store, job_id_or_prefix))


def status_of(store: Store, report: JobReport) -> Json:
    """:func:`job_document` of a report."""
    (job,) = with_waiting(store, [job_of(report)])
    earlier = store.waiting.earlier(report.job.job_id)
    after = [{"job_id": job_id, "state": str(state)} for job_id, state in earlier.items()]
    return {"answer": _answer(report)} | job | {"after": after, COVERAGE: report.coverage}


def with_waiting(store: Store, documents: Sequence[Json]) -> list[Json]:
    """Returns documents of jobs with why each of them waits, if it is queued: that changes while the job does not."""
    queued = [document["job_id"] for document in documents if document["state"] == JobState.QUEUED]
    reasons = store.waiting.reasons(queued) if queued else {}
    return [document | {"waiting": reasons.get(document["job_id"])} for document in documents]


def _answer(report: JobReport) -> str | None:
    """Returns the answer on the device, or on each of several ones."""
    if not report.views:
        answer: str | None = front_of(report)["answer"]
        return answer
    answers = {label: front_of(view)["answer"] for label, view in report.views.items()}
    return "; ".join(f"{label}: {answer}" for label, answer in answers.items() if answer) or None


def job_of(report: JobReport) -> Json:
    """Returns what only the job itself changes of its status, without coverage."""
    job = report.job
    budget = dict(job.spec.get("budget") or {})
    devices = {"devices": _devices(report)} if report.views else {}
    return devices | {
        "job_id": job.job_id,
        "short_name": short_name(job.job_id),
        "name": job.name,
        "state": str(job.state),
        "process_died": is_orphan(job) and not job.detached,
        "detached": job.detached,
        "requested": job.requested and str(job.requested),
        "submitted_by": job.submitted_by,
        "project": job.project,
        "priority": job.priority,
        "device": job.device,
        "profile_digest": job.profile_digest,
        "simulated": report.profile.simulated,
        "evidence": str(report.evidence),
        "strategy": (job.spec.get("strategy") or {}).get("name"),
        "task": (job.spec.get("task") or {}).get("name"),
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "wall_s": job.wall_s,
        "time_s": time_document(report.facts),
        "ending": report.facts.ending,
        "trials": report.counts(),
        "front_size": len(report.members),
        "best_speedup": _best_speedup(report),
        "budget": budget,
        "progress": _progress(report, budget),
        "prediction": job.prediction,
        "notes": report.notes,
        "baseline_health": report.baseline_health,
        "error": job.error,
        "hint": job.hint,
    }


def _devices(report: JobReport) -> list[Json]:
    """Returns the devices of a job, with the progress of their fronts."""
    return [
        {
            "device": label,
            "profile_digest": view.job.profile_digest,
            "front_size": len(view.members),
            "best_speedup": _best_speedup(view),
            "baseline_health": view.baseline_health,
        }
        for label, view in report.views.items()
    ]


def _best_speedup(report: JobReport) -> float | None:
    """Returns the speed-up of the front's fastest member, if the front names it; otherwise the largest of its
    members."""
    fastest = (report.stored_front or {}).get("fastest")
    rows = report.candidates.some({*report.members, *([fastest] if fastest else [])})
    speedups = {name: metric_value(row.metrics, "speedup") for name, row in rows.items()}
    if fastest in speedups and speedups[fastest] is not None:
        return speedups[fastest]
    of_members = (speedups.get(name) for name in report.members)
    return max((value for value in of_members if value is not None), default=None)


def _progress(report: JobReport, budget: Mapping[str, Any]) -> Json:
    """Returns the used share of the budget, or of the space if that is smaller.

    ``time_left_s`` is estimated from the pace so far, while the job runs.
    """
    job = report.job
    finished = report.finished
    planned, minutes = budget.get("trials"), budget.get("minutes")
    if planned and job.space:
        planned = min(planned, Space.from_dict(job.space).size)
    shares = [] if not planned else [finished / planned]
    left = [] if not (planned and finished) else [job.wall_s / finished * max(0, planned - finished)]
    if minutes:
        shares.append(job.wall_s / (60.0 * minutes))
        left.append(max(0.0, 60.0 * minutes - job.wall_s))
    alive = job.state == JobState.RUNNING and not is_orphan(job)
    running = alive and job.wall_s > 0
    complete = job.state == JobState.DONE
    return {
        "finished": finished,
        "planned": planned,
        "fraction": 1.0 if complete else min(1.0, max(shares)) if shares else None,
        "time_left_s": min(left) if running and left else None,
        "left_s": _left(report, minutes) if running and report.facts.measuring_s else None,
        "at_work": _at_work(report) if alive else [],
        **({key: (job.progress or {}).get(key) if alive else None for key in ("phase", "message")}),
    }


def _left(report: JobReport, minutes: float | None) -> Json:
    return left_document(report.facts, minutes, report.job.wall_s, 2 * len(report.members) + len(report.ties))


def _at_work(report: JobReport) -> list[Json]:
    """Returns the activity on candidates under way, if their workers share this machine's data folder."""
    texts = notices(data_folder() / "jobs" / report.job.job_id)
    return [
        {"trial": trial.number, "candidate_id": trial.candidate_id, "doing": texts[trial.digest]}
        for trial in report.candidates.with_digests(texts)
    ]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
