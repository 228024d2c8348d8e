"""Errors of the store, and the translation of database errors into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DontWrapMixin, SQLAlchemyError, StatementError

from hwprofiles.errors import InvalidInput, ParetuneError, StorageError


class StaleLease(ParetuneError):
    """Raised for a writer whose lease is not the newest or was released: nothing was written, it must end itself."""


class JobBusy(InvalidInput):
    """Raised for a job whose lease is held by a process that seems to be alive."""


class OverQuota(InvalidInput):
    """Raised for a user who may not have or do more."""


class Unstorable(StorageError, DontWrapMixin):
    """Raised for a value that JSON cannot hold, such as NaN. SQLAlchemy does not wrap it: some drivers would."""


REPORT = "this is a bug in Paretune or in a plugin: please report it"

_SPACE = "free some space, then try again; a job that was stopped goes on with: paretune resume JOB"

# Parts of database messages (lower case), and hints how to fix them. The first match is shown.
_REMEDIES = (
    ("disk is full", _SPACE),
    ("no space left", _SPACE),
    ("not a database", "name another file with --db, or put a backup in its place"),
    ("malformed", "put a backup in its place, or name another file with --db"),
    ("deadlock", "another process wrote the same at the same time: try again"),
    ("locked", "another process holds it: wait for that one to finish, then try again"),
    ("readonly", "check that you may write to the file and its folder, or name another with --db"),
    ("unable to open", "check that you may write to the file and its folder, or name another with --db"),
    ("constraint", REPORT),
    ("resolve host", "check that the server runs, and the host, port and user in --db"),
    ("connect", "check that the server runs, and the host, port and user in --db"),
)
_REMEDY = "check that --db names a database that you may read and write"


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turns errors of SQLAlchemy and the operating system inside the block into a one-line :class:`StorageError`.

    ``place`` is the database for the message, without a password.
    """
    try:
        yield
    except DataError as error:
        raise InvalidInput(
            f"the database cannot hold or compare a value: {_reason(error)}",
            "leave out control characters, and numbers of many digits",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        reason = _reason(error)
        remedy = next((remedy for sign, remedy in _REMEDIES if sign in reason.lower()), _REMEDY)
        raise StorageError(f"database {place}: {reason}", remedy) from error


def _reason(error: SQLAlchemyError | OSError) -> str:
    """Returns the first line of the driver's or system's message."""
    cause: object = error
    if isinstance(error, StatementError) and error.orig is not None:
        cause = error.orig
    elif isinstance(error, OSError) and error.strerror:
        cause = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
