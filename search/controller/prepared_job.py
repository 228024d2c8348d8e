"""A prepared job, as the phases of its controller share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.fronts.joint import Fronts, fronts_of
from search.fronts.metrics import with_unit_speedup
from search.fronts.views import View
from search.job.spec import Job
from search.job.views import views_of
from search.space.candidate import runtime_decision
from search.store import Lease, Store, TrialRow
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult


@dataclass(frozen=True)
class PreparedJob:
    """A job of the store that was prepared, and that this process may write."""

    store: Store
    lease: Lease
    context: JobContext
    """The context of its processes, with the facts of the preparation."""
    prepared: PreparationResult
    folder: Path
    """The job's folder, which holds its candidates' files."""
    digests: Mapping[str, str]
    """Digests of the devices' profiles by label, that of the first device first."""

    @cached_property
    def spec(self) -> Job:
        """The job file."""
        return self.context.job

    @cached_property
    def views(self) -> list[View]:
        """What each front of the job is about."""
        return views_of(self.spec)

    @property
    def simulated(self) -> bool:
        """Whether its figures are not measured."""
        return self.context.profile.simulated

    @cached_property
    def premeasured(self) -> dict[str, dict[str, Any]]:
        """With a time limit: the baseline's metrics by its digest, as measured by preparing; else empty."""
        baseline = self.prepared.space.baseline()
        labels = [None, *(device.label for device in self.context.further_devices)]
        by_decision = zip(map(runtime_decision, labels), self.context.devices, strict=True)
        runs_as_measured = all(
            baseline.decisions.get(name, device.profile.runtime) == device.profile.runtime
            for name, device in by_decision
        )
        if not runs_as_measured or self.spec.budget.minutes is None:
            return {}
        return {baseline.digest: with_unit_speedup(self.prepared.metrics)}

    def trials(self) -> list[TrialRow]:
        """Returns all candidates as stored, by trial number."""
        return self.store.trials.of_job(self.lease.job_id)

    def fronts(self, rows: Sequence[TrialRow], *, final: bool = False) -> Fronts:
        """Returns the fronts of these candidates by their figures; ``final`` if nothing is to be measured again."""
        return fronts_of(rows, self.views, self.prepared.metrics, final=final)
