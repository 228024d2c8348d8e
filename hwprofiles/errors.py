"""The error tree: every error that a user can meet says what is wrong and how to mend it.

::

    ParetuneError                 exit 4  the job or export failed
    ├── InvalidInput              exit 2  a job, file or option that cannot be used; names the field
    ├── NotFound                  exit 3  no such job, candidate or device
    ├── DeviceUnavailable         exit 5  the device cannot be used now, or not like this
    ├── StorageError              exit 4  the database or a folder cannot be read or written
    └── CandidateError            (never leaves a job: it becomes the candidate's state)
        ├── BuildFailed           build_failed
        ├── UnsupportedOp         unsupported_op
        ├── StageTimeout          timeout
        ├── OutOfMemory           out_of_memory
        ├── ProcessCrashed        crashed
        ├── UnhealthyMeasurement  unhealthy_measurement
        ├── TrainingStopped       stopped
        └── Unreachable           infeasible
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
    """Why one candidate has no result. ``state`` is the candidate state it becomes; the job goes on."""

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


class UnhealthyMeasurement(CandidateError):
    """The interval did not become narrow enough within the time limit."""

    state = "unhealthy_measurement"


class TrainingStopped(CandidateError):
    """The training was not worth going on with, next to others'."""

    state = "stopped"


class Unreachable(CandidateError):
    """What the candidate was to reach is beyond what its choices allow."""

    state = "infeasible"
