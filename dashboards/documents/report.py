"""The JSON documents of the product: what the command line prints, REST answers and the pages show.

Pure views of the store. Units are in the keys; a figure that is not known is ``null``, never a sentinel number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from dashboards.documents import device_views
from dashboards.documents.format_strip import SIMULATED_FORMATS, blocks_of, formats_of, in_words, untold
from dashboards.documents.health import last_health, verdict_on
from dashboards.documents.runtime import costs_of, runtime_on
from dashboards.documents.time_spent import OF_THE_CLOCK, left_document, time_document
from dashboards.documents.words import UNCHANGED, decisions_summary
from dashboards.evidence import Evidence, evidence_of
from dashboards.figures import figure, interval
from evaluators.metrics import metric_of
from hwprofiles import Profile
from hwprofiles.errors import NotFound
from search.folders import data_folder
from search.fronts.metrics import DEVICE_METRICS, DEVICES, QUALITY_CHECK, QUALITY_FROM, QUALITY_RUNTIME, figures_on
from search.fronts.objectives import Objective, metric_interval, metric_value
from search.fronts.pareto import Entry, best_compromise, reference_point
from search.space.candidate import Space
from search.space.coverage import COVERAGE
from search.states import JobState, TrialState
from search.store import JobRow, Store, TrialRow, digests_of, is_orphan
from search.trials.activity import notices

Json = dict[str, Any]

USUAL_METRICS = ("accuracy", "latency_ms", "size_bytes")
"""Shown beside the objectives, where they have figures."""

_MOST_NUMBERS = 16  # a longer list of numbers in a measurement is raw samples, not a summary


def ended(state: str) -> bool:
    """Whether a job of this state does nothing more by itself."""
    return JobState(state).ended


def front_document(
    store: Store, job_id_or_prefix: str, device: str | None = None, report: JobReport | None = None
) -> Json:
    """The newest version of a job's front, with all that its members are and measured.

    ``contenders`` are shaped as the members; their ``tied_with`` names the members that they may equal. ``health`` is
    the verdict on the machine that an entry was last measured on; on the joint front, on the last of them. Raises
    :class:`NotFound` for an unknown job, or one that did not run on ``device``. Of a job on several devices it is the
    first one's front, with all of them in ``fronts`` and ``joint``; a ``device`` that is named has its own alone.
    A ``report`` of the job that was read already spares reading it.
    """
    report = (report or JobReport.read(store, job_id_or_prefix)).on(device)
    document = report.front_document()
    measurements = cache(store.measurements)  # the same candidates stand on several fronts
    for part in (document, *document.get("fronts", {}).values(), *filter(None, [document.get("joint")])):
        for entry in part["front"] + part["contenders"]:
            entry["health"] = verdict_on(measurements(entry["candidate_id"]), part.get("profile_digest"))
    return document | {COVERAGE: report.coverage}


def trials_document(store: Store, job_id_or_prefix: str, device: str | None = None) -> Json:
    """Every candidate of a job in trial order with its objectives' values: the points of a scatter plot; as
    :func:`front_document` of one device or of all."""
    return JobReport.read(store, job_id_or_prefix).on(device).trials_document()


def job_document(store: Store, job_id_or_prefix: str) -> Json:
    """Where a job stands: state, progress, budget, error and hint; and what its space holds."""
    return JobReport.read(store, job_id_or_prefix).status_document()


def jobs_document(store: Store) -> Json:
    """All jobs, the newest first."""
    return {"jobs": [JobReport.read(store, job_id).job_document() for job_id in store.job_ids()]}


def candidate_document(store: Store, candidate_id_or_prefix: str) -> Json:
    """All that is known of one candidate; its measurements without their raw samples."""
    trial = store.trial(candidate_id_or_prefix)
    report = JobReport.read(store, trial.job_id)
    measurements = store.measurements(trial.candidate_id)
    document = report.candidate(trial) | {
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
        "exports": store.exports(trial.candidate_id),
    }
    if report.views:
        labels = {digest: label for label, digest in digests_of(report.job).items()}
        for measured in document["measurements"]:
            measured["device"] = labels.get(measured["record"].get("profile_digest"))
        document["devices"] = device_views.standings(report, trial.candidate_id)
    return document


def baseline_on(store: Store, candidate_id_or_prefix: str, device: str) -> Mapping[str, Any]:
    """The fp32 model's metrics beside those of a candidate on a device; empty where it was not measured there."""
    row = store.trial(candidate_id_or_prefix)
    job = store.job(row.job_id)
    metrics: Json = (job.baseline or {}).get("metrics") or {}
    if row.simulated or device not in digests_of(job):
        return {}
    return figures_on(metrics, device) if DEVICES in metrics else metrics


def state_in_words(job: Mapping[str, Any]) -> str:
    """A job's state, from its status document; one whose process has died goes on only when it is resumed."""
    return "interrupted (its process has died)" if job["process_died"] else str(job["state"])


def device_names(job: Mapping[str, Any]) -> list[str]:
    """The devices of a job's status document."""
    return [one["device"] for one in job.get("devices", [job])]


def metric_names(metrics: Mapping[str, Any]) -> list[str]:
    """The metrics that have a figure; of several devices, what differs from device to device once for each."""
    labels = metrics.get(DEVICES, ())
    names: list[str] = []
    for name in dict.fromkeys(one.partition("@")[0] if one.partition("@")[2] in labels else one for one in metrics):
        own = [f"{name}@{label}" for label in labels]
        names += own if labels and (name in DEVICE_METRICS or any(one in metrics for one in own)) else [name]
    return [name for name in names if metric_value(metrics, name) is not None]


def baseline_value(metrics: Mapping[str, Any], name: str) -> float | None:
    """A metric of the baseline; what compares with the uncompressed model is known for that model itself."""
    value = metric_value(metrics, name)
    return metric_of(name).baseline if value is None and "." not in name else value


def without_samples(value: Any) -> Any:
    """A measurement with each list of raw samples replaced by how many there were."""
    if isinstance(value, Mapping):
        return {key: without_samples(item) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) > _MOST_NUMBERS and all(isinstance(item, int | float | list) for item in value):
            return {"samples": len(value)}
        return [without_samples(item) for item in value]
    return value


@dataclass(frozen=True)
class JobReport:
    """Everything stored about one job, read once; its documents are views of that."""

    job: JobRow
    profile: Profile
    stored_front: Json | None
    trials: tuple[TrialRow, ...]
    others: tuple[Profile, ...] = ()
    """The profiles of the job's further devices."""
    of_all: JobRow | None = None
    """The job with all of its devices, where this is what one of them sees."""

    @property
    def whole(self) -> JobRow:
        """The job as it is stored."""
        return self.of_all or self.job

    @classmethod
    def read(cls, store: Store, job_id_or_prefix: str) -> JobReport:
        """Read a job; raises :class:`NotFound` for an unknown one."""
        return cls.of(store, store.job(job_id_or_prefix))

    @classmethod
    def of(cls, store: Store, job: JobRow, trials: Callable[[], list[TrialRow]] | None = None) -> JobReport:
        """Read the rest of a job whose row is known, its candidates by ``trials`` where that is given.

        In this order, so that what one part names is in the next, and a job seen as done is seen whole.
        """
        front = store.front(job.job_id)
        rows = store.trials(job.job_id) if trials is None else trials()
        first, *others = (store.profile(digest) for digest in digests_of(job).values())
        return cls(job, first, front, tuple(rows), tuple(others))

    @cached_property
    def views(self) -> dict[str, JobReport]:
        """The job as each of its devices sees it, by label; empty where there is one device only."""
        return device_views.by_device(self)

    def on(self, device: str | None) -> JobReport:
        """The job as if ``device`` were its only one; the whole job for None. Raises :class:`NotFound` for a device
        that it did not run on."""
        if device is None or (not self.views and device == self.job.device):
            return self
        if device not in self.views:
            ran = ", ".join(map(repr, self.views or [self.job.device]))
            raise NotFound(f"job {self.job.job_id} did not run on device {device!r}", f"it ran on {ran}")
        return self.views[device]

    @property
    def objectives(self) -> list[Json]:
        """``{"metric", "direction"}`` for each, as the front was made with, else as the job file says."""
        source = self.stored_front if self.stored_front is not None else self.job.spec
        return [{"metric": o["metric"], "direction": o.get("direction", "max")} for o in source.get("objectives", [])]

    @property
    def baseline(self) -> Json:
        """``{"metrics": {...}, "facts": {...}}``, empty until the job is prepared; without paths of the machine, and
        without the layer tables and the coverage, which have documents of their own."""
        stored = self.job.baseline or {"metrics": {}, "facts": {}}
        left_out = ("model_path", "layer_tables", COVERAGE, *OF_THE_CLOCK)
        return {**stored, "facts": {key: value for key, value in stored["facts"].items() if key not in left_out}}

    @property
    def facts(self) -> Json:
        """All facts of the preparation, and those that were added since; empty until then."""
        return dict((self.job.baseline or {}).get("facts", {}))

    @property
    def notes(self) -> list[str]:
        """What the job's owner should know of how the model was read, and of what was measured."""
        return list(self.facts.get("notes", []))

    @property
    def baseline_health(self) -> str | None:
        """The verdict on the machine while the fp32 model was measured on the device; None where nobody looked."""
        records = self.baseline["facts"].get("baseline_measurements", {})
        health = records.get(self.job.device, {}).get("health")
        return None if health is None else str(health["verdict"])

    @property
    def evidence(self) -> Evidence:
        """What stands behind the job's figures."""
        return evidence_of(self.profile, (self.job.baseline or {}).get("metrics") or {})

    @cached_property
    def members(self) -> dict[str, None]:
        """Ids of the front's members, in its order."""
        return {} if self.stored_front is None else dict.fromkeys(self.stored_front["members"])

    @cached_property
    def ties(self) -> dict[str, list[str]]:
        """Who cannot be told from whom, both ways: a contender's members and a member's contenders."""
        pairs: dict[str, list[str]] = {}
        stored = {} if self.stored_front is None else self.stored_front.get("tied_with") or {}
        for one, others in stored.items():
            for other in others:
                pairs.setdefault(one, []).append(other)
                pairs.setdefault(other, []).append(one)
        return {one: list(dict.fromkeys(others)) for one, others in pairs.items()}

    def front_document(self) -> Json:
        """See :func:`front_document`."""
        if self.views:
            return device_views.front_on_all(self)
        stored = self.stored_front or {}
        by_id = {trial.candidate_id: trial for trial in self.trials}
        members = [by_id[one] for one in self.members if one in by_id]
        contenders = [by_id[one] for one in self.ties if one in by_id and one not in self.members]
        miss = stored.get("nearest_miss")
        if miss is not None and miss["candidate_id"] in by_id:
            miss = self.candidate(by_id[miss["candidate_id"]]) | {"reason": miss["reason"]}
        return {
            "job_id": self.job.job_id,
            "name": self.job.name,
            "state": str(self.job.state),
            "process_died": is_orphan(self.job),
            "device": self.job.device,
            "profile_digest": self.job.profile_digest,
            "simulated": self.profile.simulated,
            "evidence": str(self.evidence),
            "trials": self.counts(),
            "objectives": self.objectives,
            "constraints": list(self.job.spec.get("constraints") or []),
            "hypervolume": stored.get("hypervolume") or {"value": 0.0, "reference": {}},
            "wall_s": self.job.wall_s,
            "time_s": time_document(self.facts),
            "ending": self.facts.get("ending"),
            "final": bool(stored.get("final", False)),
            "runtime": self.runtime,
            "baseline": self.baseline,
            "front": [self.candidate(trial) for trial in members],
            "contenders": [self.candidate(trial) for trial in contenders],
            "best_compromise": self.best_compromise(members),
            "prediction": self.job.prediction,
            "nearest_miss": miss,
            "notes": self.notes,
        }

    def _confirmed(self, trial: TrialRow) -> Json:
        """Whether a member's figures are those of a last measurement that had no part in its choice, and why not."""
        stored = self.stored_front or {}
        unconfirmed = (stored.get("unconfirmed") or {}).get(trial.candidate_id)
        final = bool(stored.get("final")) and not trial.simulated and trial.candidate_id in self.members
        return {"confirmed": final and unconfirmed is None, "unconfirmed": unconfirmed}

    def best_compromise(self, members: Sequence[TrialRow]) -> str | None:
        """The id of the member that alone dominates the largest volume; None for an empty front."""
        objectives = [Objective(o["metric"], o["direction"]) for o in self.objectives]
        entries = [Entry(trial.candidate_id, trial.number, trial.metrics) for trial in members]
        best = best_compromise(entries, objectives, reference_point(objectives, self.baseline["metrics"]))
        return None if best is None else best.candidate_id

    def trials_document(self) -> Json:
        """See :func:`trials_document`."""
        if self.views:
            return device_views.trials_on_all(self)
        names = [objective["metric"] for objective in self.objectives]
        metrics = self.baseline["metrics"]
        found = self._values(metrics)
        point = {name: baseline_value(metrics, name) if found[name] is None else found[name] for name in names}
        return {
            "job_id": self.job.job_id,
            "name": self.job.name,
            "state": str(self.job.state),
            "device": self.job.device,
            "simulated": self.profile.simulated,
            "evidence": str(self.evidence),
            "objectives": self.objectives,
            "baseline": {
                "values": point,
                "intervals": _intervals(metrics, names),
                "shown": self._shown(metrics, point),
            }
            if metrics
            else None,
            "trials": [self._row(trial, names) for trial in self.trials],
        }

    @property
    def coverage(self) -> Json | None:
        """What the space holds and what it does not (:func:`search.space.coverage.coverage`); None until the job is
        prepared, and where no layer is to have another precision."""
        found: Json | None = (self.job.baseline or {"facts": {}})["facts"].get(COVERAGE)
        return found

    def status_document(self) -> Json:
        """See :func:`job_document`."""
        return self.job_document() | {COVERAGE: self.coverage}

    def job_document(self) -> Json:
        """The same without what the space holds, as it is listed and sent while it changes."""
        job = self.job
        budget = dict(job.spec.get("budget") or {})
        several = {"devices": device_views.in_short(self)} if self.views else {}
        return several | {
            "job_id": job.job_id,
            "name": job.name,
            "state": str(job.state),
            "process_died": is_orphan(job),
            "device": job.device,
            "profile_digest": job.profile_digest,
            "simulated": self.profile.simulated,
            "evidence": str(self.evidence),
            "strategy": (job.spec.get("strategy") or {}).get("name"),
            "task": (job.spec.get("task") or {}).get("name"),
            "created_at": _iso(job.created_at),
            "started_at": _iso(job.started_at),
            "finished_at": _iso(job.finished_at),
            "wall_s": job.wall_s,
            "time_s": time_document(self.facts),
            "ending": self.facts.get("ending"),
            "trials": self.counts(),
            "front_size": len(self.members),
            "best_speedup": self.best_speedup(),
            "budget": budget,
            "progress": self.progress(budget),
            "prediction": job.prediction,
            "notes": self.notes,
            "baseline_health": self.baseline_health,
            "error": job.error,
            "hint": job.hint,
        }

    def candidate(self, trial: TrialRow) -> Json:
        """One candidate with its decisions and metrics, as a front lists it."""
        formats = formats_of(trial.decisions, trial.metrics)
        return {
            "candidate_id": trial.candidate_id,
            "digest": trial.digest,
            "trial": trial.number,
            "block": trial.block,
            "state": str(trial.state),
            "reason": trial.reason,
            "strategy": trial.strategy,
            "simulated": _simulated(trial),
            "on_front": trial.candidate_id in self.members,
            "tied_with": self.ties.get(trial.candidate_id, []),
            "summary": self._summary(trial),
            "runtime": self.runtime_of(trial),
            "costs": costs_of(trial.metrics, self.baseline["metrics"]),
            "decisions": trial.decisions,
            **({"formats": formats} if formats else {}),
            "metrics": trial.metrics,
            "artifact_sha256": trial.artifact_sha256,
            "wall_s": trial.wall_s,
            **self._confirmed(trial),
        }

    def counts(self) -> dict[str, int]:
        """Candidates by outcome: ``done`` have met every constraint, ``infeasible`` are measured but have not."""
        states = [trial.state for trial in self.trials]
        done, infeasible = states.count(TrialState.DONE), states.count(TrialState.INFEASIBLE)
        pending = states.count(TrialState.PENDING)
        running = sum(not state.finished for state in states) - pending
        failed = len(states) - done - infeasible - running - pending
        return {"done": done, "failed": failed, "infeasible": infeasible, "running": running, "pending": pending}

    def best_speedup(self) -> float | None:
        """The speed-up of the front's fastest member, as the front says which that is."""
        fastest = (self.stored_front or {}).get("fastest")
        found = [metric_value(t.metrics, "speedup") for t in self.trials if t.candidate_id == fastest]
        if found and found[0] is not None:
            return found[0]
        found = [metric_value(t.metrics, "speedup") for t in self.trials if t.candidate_id in self.members]
        return max((value for value in found if value is not None), default=None)

    def progress(self, budget: Mapping[str, Any]) -> Json:
        """How much of the budget is used, or of the space where that is smaller; ``time_left_s`` is estimated from the
        pace so far, while the job runs."""
        finished = sum(trial.state.finished for trial in self.trials)
        planned, minutes = budget.get("trials"), budget.get("minutes")
        if planned and self.job.space:
            planned = min(planned, Space.from_dict(self.job.space).size)
        shares = [] if not planned else [finished / planned]
        left = [] if not (planned and finished) else [self.job.wall_s / finished * max(0, planned - finished)]
        if minutes:
            shares.append(self.job.wall_s / (60.0 * minutes))
            left.append(max(0.0, 60.0 * minutes - self.job.wall_s))
        alive = self.job.state == JobState.RUNNING and not is_orphan(self.job)
        running = alive and self.job.wall_s > 0
        complete = self.job.state == JobState.DONE
        return {
            "finished": finished,
            "planned": planned,
            "fraction": 1.0 if complete else min(1.0, max(shares)) if shares else None,
            "time_left_s": min(left) if running and left else None,
            "left_s": self._left(minutes) if running and self.facts.get("measuring_s") else None,
            "at_work": self._at_work() if alive else [],
        }

    def _left(self, minutes: float | None) -> Json:
        return left_document(self.facts, minutes, self.job.wall_s, 2 * len(self.members) + len(self.ties))

    def _at_work(self) -> list[Json]:
        """What is going on with the candidates under way, where their workers share this machine's data folder."""
        said = notices(data_folder() / "jobs" / self.job.job_id)
        return [
            {"trial": trial.number, "candidate_id": trial.candidate_id, "doing": said[trial.digest]}
            for trial in self.trials
            if trial.digest in said
        ]

    @property
    def runtime(self) -> str | None:
        """What executes the baseline on the device; None where nothing is executed, or on several devices together."""
        return None if self.profile.simulated or self.job.device not in digests_of(self.whole) else self.profile.runtime

    def runtime_of(self, trial: TrialRow) -> str | None:
        """What executes a candidate there; None likewise, and for formats that no runtime computes in."""
        if self.runtime is None or trial.metrics.get(SIMULATED_FORMATS):
            return None
        return runtime_on(trial.decisions, self.job.device, next(iter(digests_of(self.whole))), self.runtime)

    def _summary(self, trial: TrialRow) -> str:
        """What a candidate changes, in a few words: its decisions, and the formats that only its training knows."""
        formats = untold(formats_of(trial.decisions, trial.metrics), trial.decisions)
        words = decisions_summary(trial.decisions, self.job.space)
        if not formats:
            return words
        trained = in_words(blocks_of(formats))
        return trained if words == UNCHANGED else f"{words}, {trained}"

    def _row(self, trial: TrialRow, names: Sequence[str]) -> Json:
        return {
            "trial": trial.number,
            "candidate_id": trial.candidate_id,
            "state": str(trial.state),
            "reason": trial.reason,
            "strategy": trial.strategy,
            "simulated": _simulated(trial),
            "on_front": trial.candidate_id in self.members,
            "tied_with": self.ties.get(trial.candidate_id, []),
            "summary": self._summary(trial),
            "values": self._values(trial.metrics),
            "intervals": _intervals(trial.metrics, names),
            "shown": self._shown(trial.metrics, self._values(trial.metrics)),
        }

    def _shown(self, metrics: Mapping[str, Any], values: Mapping[str, float | None]) -> dict[str, str]:
        """What a tip says of a point: the objectives' figures and the usual ones, in words."""
        usual = {name: metric_value(metrics, name) for name in USUAL_METRICS}
        return {name: _words(metrics, name, value) for name, value in {**usual, **values}.items() if value is not None}

    def _values(self, metrics: Mapping[str, Any]) -> dict[str, float | None]:
        """The objectives' figures."""
        return {o["metric"]: Objective(o["metric"], o["direction"]).value(metrics) for o in self.objectives}


def _words(metrics: Mapping[str, Any], name: str, value: float) -> str:
    """A figure with its interval, as tables and tips show it."""
    bounds = metric_interval(metrics, name)
    return figure(value, name) + (f" ({interval(bounds, name)})" if bounds else "")


def _simulated(trial: TrialRow) -> bool:
    """Whether a candidate is modelled, or trained in formats that no runtime computes in."""
    return trial.simulated or bool(trial.metrics.get(SIMULATED_FORMATS))


def _intervals(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[float]]:
    """The 95 % intervals of the metrics that have one."""
    found = {name: metric_interval(metrics, name) for name in names}
    return {name: list(interval) for name, interval in found.items() if interval is not None}


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else _aware(moment).isoformat()
