"""The states of jobs and candidates: a failure is a state, never a sentinel number."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DONE = "done"


class TrialState(StrEnum):
    """Where a candidate stands; everything after ``done`` is a failure or a broken constraint."""

    PENDING = "pending"
    BUILDING = "building"
    TRAINING = "training"
    EXPORTING = "exporting"
    MEASURING = "measuring"
    DONE = "done"
    INFEASIBLE = "infeasible"
    BUILD_FAILED = "build_failed"
    UNSUPPORTED_OP = "unsupported_op"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    UNHEALTHY_MEASUREMENT = "unhealthy_measurement"
    STOPPED = "stopped"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the candidate."""
        return self not in _UNFINISHED

    @property
    def measured(self) -> bool:
        """Whether the candidate has its metrics."""
        return self in (TrialState.DONE, TrialState.INFEASIBLE)


class ErrandState(StrEnum):
    """Where a measurement stands that a remote device is asked for."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


_UNFINISHED = {
    TrialState.PENDING, TrialState.BUILDING, TrialState.TRAINING, TrialState.EXPORTING, TrialState.MEASURING,
}  # fmt: skip
