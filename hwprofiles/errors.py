"""The error tree: every error that a user can meet says what is wrong and how to mend it.

::

    ParetuneError                 exit 4  the job or export failed
    ├── InvalidInput              exit 2  a job, file or option that cannot be used; names the field
    ├── NotFound                  exit 3  no such job, candidate or device
    ├── DeviceUnavailable         exit 5  the device cannot be used now, or not like this
    ├── StorageError              exit 4  the database or a folder cannot be read or written
    └── CandidateError            (never leaves a job: there is no result for one candidate)
        │   the candidate's own fault, which becomes its state for good:
        ├── BuildFailed               build_failed
        ├── UnsupportedOp             unsupported_op
        ├── StageTimeout              timeout
        ├── OutOfMemory               out_of_memory
        ├── ProcessCrashed            crashed
        ├── TrainingStopped           stopped
        ├── Unreachable               infeasible
        │   the moment's fault, after which it stays pending:
        └── PassingTrouble            passing
            ├── UnhealthyMeasurement  unhealthy_measurement
            ├── MachineBusy           machine_busy
            ├── MemoryShort           memory_short
            ├── WorkerLost            worker_lost
            └── NotAsked              not_asked

An error that is no :class:`CandidateError` and stops the work on a candidate (a full disk, a task that gives other data
than before, a runtime that has gone) is the moment's fault too: see :func:`is_passing`.
"""

from __future__ import annotations

from typing import ClassVar


class ParetuneError(Exception):
    """Base of all errors raised on purpose.

    ``message`` is one line of what is wrong, ``hint`` one line of how to mend it, ``exit_code`` what the command line
    ends with.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[ParetuneError], tuple[str, str]]:
        return (type(self), (self.message, self.hint))


class InvalidInput(ParetuneError):
    """A job file, model, data file or option that cannot be used."""

    exit_code = 2


class NotFound(ParetuneError):
    """A job, candidate or device that does not exist."""

    exit_code = 3


class DeviceUnavailable(ParetuneError):
    """A device that is missing, busy beyond patience, or lacks what was asked of it."""

    exit_code = 5


class StorageError(ParetuneError):
    """A database or folder that cannot be read or written."""


class CandidateError(ParetuneError):
    """Why one candidate has no result; the job goes on. ``state`` names the kind where only text travels, and is the
    state that the candidate gets, unless the moment is to blame (:class:`PassingTrouble`)."""

    state: ClassVar[str] = "build_failed"


class BuildFailed(CandidateError):
    """A technique, export or quality evaluation raised, or gave NaN or infinity."""


class UnsupportedOp(CandidateError):
    """The runtime does not execute an operator of the built model, or not where it should."""

    state = "unsupported_op"


class StageTimeout(CandidateError):
    """A stage outlived its limit and was ended."""

    state = "timeout"


class OutOfMemory(CandidateError):
    """A stage outgrew its memory limit and was ended."""

    state = "out_of_memory"


class ProcessCrashed(CandidateError):
    """The process of a stage died, as often as it was retried."""

    state = "crashed"


class TrainingStopped(CandidateError):
    """The training was not worth going on with, next to others'."""

    state = "stopped"


class Unreachable(CandidateError):
    """What the candidate was to reach is beyond what its choices allow."""

    state = "infeasible"


class PassingTrouble(CandidateError):
    """The moment is to blame and not the candidate, which may well have a result at another time."""

    state = "passing"


class UnhealthyMeasurement(PassingTrouble):
    """The interval did not become narrow enough within the time limit."""

    state = "unhealthy_measurement"


class MachineBusy(PassingTrouble):
    """A stage outlived its limit while others used most of the machine and kept it waiting."""

    state = "machine_busy"


class MemoryShort(PassingTrouble):
    """The machine ran out of memory while the stage itself used little of it."""

    state = "memory_short"


class WorkerLost(PassingTrouble):
    """The process that works on candidates, and that no candidate's code runs in, was lost."""

    state = "worker_lost"


class NotAsked(PassingTrouble):
    """There was no time left for a question, which says nothing about what was to be asked."""

    state = "not_asked"


def first_line(error: BaseException, limit: int = 300, *, default: str | None = None) -> str:
    """Returns the first line of an error's message, at most ``limit`` characters of it.

    An empty message gives ``default``; None stands for the name of the error's type.
    """
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__ if default is None else default)[:limit]


def is_passing(error: ParetuneError) -> bool:
    """Whether an error that stopped the work on a candidate says nothing about the candidate."""
    return isinstance(error, PassingTrouble) or not isinstance(error, CandidateError)


def candidate_errors() -> dict[str, type[CandidateError]]:
    """The classes of :class:`CandidateError` by their ``state``."""

    def below(kind: type[CandidateError]) -> list[type[CandidateError]]:
        return [found for child in kind.__subclasses__() for found in (child, *below(child))]

    return {kind.state: kind for kind in below(CandidateError)}


def passing_states() -> tuple[str, ...]:
    """The states of :class:`PassingTrouble`."""
    return tuple(state for state, kind in candidate_errors().items() if issubclass(kind, PassingTrouble))
