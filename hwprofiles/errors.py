"""The error tree: every error for users says what is wrong and how to fix it.

::

    ParetuneError                 exit 4  the job or export failed
    ├── InvalidInput              exit 2  an invalid job, file or option; names the field
    ├── NotFound                  exit 3  no such job, candidate or device
    ├── NotAllowed                exit 4  it is not this user's to do
    ├── DeviceUnavailable         exit 5  the device cannot be used now, or not in this way
    ├── StorageError              exit 4  the database or a folder cannot be read or written
    ├── ClusterLost               exit 75 the Ray cluster cannot be reached; try again later
    └── CandidateError            (never ends a job: one candidate has no result)
        │   caused by the candidate; becomes its final state:
        ├── BuildFailed               build_failed
        ├── UnsupportedOp             unsupported_op
        ├── StageTimeout              timeout
        ├── OutOfMemory               out_of_memory
        ├── ProcessCrashed            crashed
        ├── TrainingStopped           stopped
        ├── Unreachable               infeasible
        │   caused by the machine at that time; the candidate stays pending:
        └── TransientError            passing
            ├── UnhealthyMeasurement  unhealthy_measurement
            ├── MachineBusy           machine_busy
            ├── MemoryShort           memory_short
            ├── WorkerLost            worker_lost
            └── NotAsked              not_asked

Any other error that stops the work on a candidate (a full disk, a task whose data changed, a runtime that was
uninstalled) says nothing about the candidate either: see :func:`is_transient`.
"""

from __future__ import annotations

from typing import ClassVar


class ParetuneError(Exception):
    """Base of all errors raised on purpose.

    ``message`` says in one line what is wrong, ``hint`` in one line how to fix it.
    """

    exit_code: ClassVar[int] = 4
    """Exit code of the command line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[ParetuneError], tuple[str, str]]:
        return (type(self), (self.message, self.hint))


class InvalidInput(ParetuneError):
    """An invalid job file, model, data file or option."""

    exit_code = 2


class NotFound(ParetuneError):
    """A job, candidate or device that does not exist."""

    exit_code = 3


class NotAllowed(ParetuneError):
    """Something that this user, or their token, may not do."""


class DeviceUnavailable(ParetuneError):
    """A device that is missing, busy for too long, or cannot do what was requested."""

    exit_code = 5


class StorageError(ParetuneError):
    """A database or folder that cannot be read or written."""


class ClusterLost(ParetuneError):
    """A Ray cluster that cannot be reached, or not any more: the job goes on when it is back."""

    exit_code = 75


class CandidateError(ParetuneError):
    """One candidate has no result; the job goes on."""

    state: ClassVar[str] = "build_failed"
    """Name of the kind in stored and sent data; also the candidate's state, except for :class:`TransientError`."""


class BuildFailed(CandidateError):
    """A technique, export or quality evaluation raised an error or gave NaN or infinity."""


class UnsupportedOp(CandidateError):
    """The runtime does not execute an operator of the built model, or not on the intended device."""

    state = "unsupported_op"


class StageTimeout(CandidateError):
    """A stage exceeded its time limit and was ended."""

    state = "timeout"


class OutOfMemory(CandidateError):
    """A stage exceeded its memory limit and was ended."""

    state = "out_of_memory"


class ProcessCrashed(CandidateError):
    """The process of a stage died in every attempt."""

    state = "crashed"


class TrainingStopped(CandidateError):
    """The training was stopped early: other candidates do better."""

    state = "stopped"


class Unreachable(CandidateError):
    """The candidate's choices cannot reach its target."""

    state = "infeasible"


class TransientError(CandidateError):
    """Caused by the machine at that time, not by the candidate: trying again later may succeed."""

    state = "passing"


class UnhealthyMeasurement(TransientError):
    """The confidence interval was still too wide at the time limit."""

    state = "unhealthy_measurement"


class MachineBusy(TransientError):
    """A stage exceeded its time limit while other programs kept the machine busy."""

    state = "machine_busy"


class MemoryShort(TransientError):
    """The machine ran out of memory although the stage itself used little."""

    state = "memory_short"


class WorkerLost(TransientError):
    """A worker process was lost. No candidate's code runs in it."""

    state = "worker_lost"


class NotAsked(TransientError):
    """No time was left to ask the device."""

    state = "not_asked"


def first_line(error: BaseException, limit: int = 300, *, default: str | None = None) -> str:
    """Returns the first line of an error's message, at most ``limit`` characters of it.

    An empty message gives ``default``; None stands for the name of the error's type.
    """
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__ if default is None else default)[:limit]


def is_transient(error: ParetuneError) -> bool:
    """Returns whether an error that stopped the work on a candidate was caused by something else: trying again may
    succeed."""
    return isinstance(error, TransientError) or not isinstance(error, CandidateError)


def candidate_errors() -> dict[str, type[CandidateError]]:
    """Returns the classes of :class:`CandidateError` by their ``state``."""

    def below(kind: type[CandidateError]) -> list[type[CandidateError]]:
        return [member for child in kind.__subclasses__() for member in (child, *below(child))]

    return {kind.state: kind for kind in below(CandidateError)}


def transient_states() -> tuple[str, ...]:
    """Returns the states of :class:`TransientError`."""
    return tuple(state for state, kind in candidate_errors().items() if issubclass(kind, TransientError))
