"""The states of jobs and candidates: a failure is a state, never a sentinel number."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DONE = "done"

    @property
    def ended(self) -> bool:
        """Whether no controller works on the job, nor will unless somebody resumes it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobRequest(StrEnum):
    """What the controller of a running job is asked to do."""

    PAUSE = "pause"
    CANCEL = "cancel"
    HAND_BACK = "hand_back"
    """Return the job to the queue."""

    @property
    def state(self) -> JobState:
        """The state of a job after the request."""
        return {"pause": JobState.PAUSED, "cancel": JobState.CANCELLED, "hand_back": JobState.QUEUED}[self]


class TrialState(StrEnum):
    """State of a candidate; every one after ``done`` is a failure or a broken constraint."""

    PENDING = "pending"
    BUILDING = "building"
    """Being worked on, whatever the stage."""
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
        """Whether the state is final."""
        return self not in (TrialState.PENDING, TrialState.BUILDING)

    @property
    def measured(self) -> bool:
        """Whether the candidate has its metrics."""
        return self in (TrialState.DONE, TrialState.INFEASIBLE)


class ExportState(StrEnum):
    """State of an export that a worker was asked for."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (ExportState.QUEUED, ExportState.RUNNING)


class RequestState(StrEnum):
    """State of a measurement request to a remote device."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


FAILED = "failed"
"""Name for all states that are failures."""


def is_failure(state: TrialState) -> bool:
    """Returns whether a state means that a candidate could not be measured."""
    return state.finished and not state.measured


def states_of(name: str | None) -> frozenset[TrialState] | None:
    """Returns the states that a name stands for (None: all states); None for an unknown name."""
    if name is None:
        return frozenset(TrialState)
    if name == FAILED:
        return frozenset(filter(is_failure, TrialState))
    return frozenset([TrialState(name)]) if name in list(TrialState) else None
