"""Everything stored about one job, read once: the source of its JSON documents.

Documents are pure views of the store. Units are in the keys; an unknown figure is ``null``, never a sentinel number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dashboards.documents.job_candidates import JobCandidates, StoredCandidates
from dashboards.documents.time_spent import OF_THE_CLOCK
from dashboards.documents.views import DeviceView, joint_view, views_by_device
from dashboards.evidence import Evidence, evidence_of
from dashboards.words import Json
from dashboards.words.runtime import runtime_on
from hwprofiles import Profile
from hwprofiles.errors import NotFound
from search.fronts.metrics import SIMULATED_FORMATS
from search.job.facts import JobFacts
from search.space.candidate import Space
from search.space.coverage_words import COVERAGE
from search.states import TrialState
from search.store import JobRow, Store, TrialRow, digests_of


@dataclass(frozen=True)
class JobReport:
    """Everything stored about one job."""

    job: JobRow
    profile: Profile
    stored_front: Json | None
    candidates: JobCandidates
    further_profiles: tuple[Profile, ...] = ()
    """The profiles of the job's further devices."""
    of_all: JobRow | None = None
    """The job with all of its devices, if this report is the view of one of them."""

    @property
    def whole(self) -> JobRow:
        """The job as it is stored."""
        return self.of_all or self.job

    @classmethod
    def read(cls, store: Store, job_id_or_prefix: str) -> JobReport:
        """Reads a job; raises :class:`NotFound` for an unknown one."""
        return cls.of(store, store.jobs.get(job_id_or_prefix))

    @classmethod
    def of(
        cls, store: Store, job: JobRow, candidates: JobCandidates | None = None, version: int | None = None
    ) -> JobReport:
        """Reads the parts of a job whose row is given, with the newest version of its front or this one.

        Candidates are read last, so that the front's are among them, and a job seen as done is seen whole.
        """
        front = store.fronts.get(job.job_id, version)
        first, *further = (store.devices.profile(digest) for digest in digests_of(job).values())
        return cls(job, first, front, candidates or StoredCandidates(store, job.job_id), tuple(further))

    @cached_property
    def views(self) -> dict[str, JobReport]:
        """The job as each of its devices sees it, by label; empty for one device."""
        profiles = (self.profile, *self.further_profiles)
        views = views_by_device(self.job, profiles, self.stored_front, self.candidates)
        return {label: self._of_view(view) for label, view in views.items()}

    @property
    def joint(self) -> JobReport:
        """The job as all of its devices see it together."""
        return self._of_view(joint_view(self.job, self.profile, self.stored_front, self.candidates))

    def _of_view(self, view: DeviceView) -> JobReport:
        return JobReport(view.job, view.profile, view.front, view.candidates, of_all=self.job)

    def on(self, device: str | None) -> JobReport:
        """Returns the job as if ``device`` were its only one; the whole job for None.

        Raises :class:`NotFound` for a device that the job did not run on.
        """
        if device is None or (not self.views and device == self.job.device):
            return self
        if device not in self.views:
            ran = ", ".join(map(repr, self.views or [self.job.device]))
            raise NotFound(f"job {self.job.job_id} did not run on device {device!r}", f"it ran on {ran}")
        return self.views[device]

    @property
    def objectives(self) -> list[Json]:
        """``{"metric", "direction"}`` for each, from the front if there is one, otherwise from the job file."""
        source = self.stored_front if self.stored_front is not None else self.job.spec
        return [{"metric": o["metric"], "direction": o.get("direction", "max")} for o in source.get("objectives", [])]

    @property
    def baseline(self) -> Json:
        """``{"metrics": {...}, "facts": {...}}``, empty until the job is prepared.

        Without paths of the machine, and without facts that have documents of their own (layer tables, coverage).
        """
        stored = self.job.baseline or {"metrics": {}, "facts": {}}
        omitted = ("model_path", "layer_tables", COVERAGE, *OF_THE_CLOCK)
        return {**stored, "facts": {key: value for key, value in stored["facts"].items() if key not in omitted}}

    @cached_property
    def facts(self) -> JobFacts:
        """All facts of the preparation, and those added since; the defaults until then."""
        return JobFacts.from_dict((self.job.baseline or {}).get("facts", {}))

    @cached_property
    def space(self) -> Space | None:
        """The job's search space; None until the job is prepared."""
        return None if self.job.space is None else Space.from_dict(self.job.space)

    def is_unchanged(self, trial: TrialRow) -> bool:
        """Returns whether a candidate is the fp32 model as it was given: the baseline."""
        return self._baseline_decisions is not None and trial.decisions == self._baseline_decisions

    @cached_property
    def _baseline_decisions(self) -> dict[str, str] | None:
        return None if self.space is None else self.space.baseline().decisions

    @property
    def notes(self) -> list[str]:
        """Notes for the job's owner about reading the model, and about what was measured."""
        return list(self.facts.notes)

    @property
    def baseline_health(self) -> str | None:
        """The verdict on the machine while the fp32 model was measured on the device; None without one."""
        health = self.facts.baseline_measurements.get(self.job.device, {}).get("health")
        return None if health is None else str(health["verdict"])

    @property
    def evidence(self) -> Evidence:
        """Whether the job's figures are measured, bounded or made up."""
        return evidence_of(self.profile, (self.job.baseline or {}).get("metrics") or {})

    @property
    def coverage(self) -> Json | None:
        """The values that the space contains and leaves out (:func:`search.space.coverage.coverage`).

        None until the job is prepared, and for a space without precisions.
        """
        return self.facts.coverage

    @cached_property
    def members(self) -> dict[str, None]:
        """Ids of the front's members, in its order."""
        return {} if self.stored_front is None else dict.fromkeys(self.stored_front["members"])

    @cached_property
    def ties(self) -> dict[str, list[str]]:
        """Candidates within measurement error of each other, both ways: of a contender its members, and the reverse."""
        pairs: dict[str, list[str]] = {}
        stored = {} if self.stored_front is None else self.stored_front.get("tied_with") or {}
        for contender, members in stored.items():
            for member in members:
                pairs.setdefault(contender, []).append(member)
                pairs.setdefault(member, []).append(contender)
        return {candidate: list(dict.fromkeys(ties)) for candidate, ties in pairs.items()}

    @property
    def finished(self) -> int:
        """The number of candidates that have a result."""
        return sum(count for state, count in self.candidates.by_state.items() if state.finished)

    def counts(self) -> dict[str, int]:
        """Candidates by outcome: ``done`` meet every constraint, ``infeasible`` are measured but do not."""
        states = self.candidates.by_state
        done, infeasible = states.get(TrialState.DONE, 0), states.get(TrialState.INFEASIBLE, 0)
        pending, running = states.get(TrialState.PENDING, 0), states.get(TrialState.BUILDING, 0)
        failed = sum(states.values()) - done - infeasible - running - pending
        return {"done": done, "failed": failed, "infeasible": infeasible, "running": running, "pending": pending}

    @property
    def runtime(self) -> str | None:
        """The runtime of the baseline on the device; None in a simulation, and for several devices together."""
        return None if self.profile.simulated or self.job.device not in digests_of(self.whole) else self.profile.runtime

    def runtime_of(self, trial: TrialRow) -> str | None:
        """Returns the runtime of a candidate on the device; None likewise, and for formats that no runtime computes
        in."""
        if self.runtime is None or trial.metrics.get(SIMULATED_FORMATS):
            return None
        return runtime_on(trial.decisions, self.job.device, next(iter(digests_of(self.whole))), self.runtime)
