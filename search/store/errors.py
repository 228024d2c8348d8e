"""The store's own errors, and the one place where a database's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DontWrapMixin, SQLAlchemyError, StatementError

from hwprofiles.errors import InvalidInput, ParetuneError, StorageError


class StaleLease(ParetuneError):
    """A writer whose lease is no longer the newest, or was released: nothing was written, and it must end itself."""


class JobBusy(InvalidInput):
    """A job whose lease is held by a process that lives, as far as can be known."""


class Unstorable(StorageError, DontWrapMixin):
    """A value that JSON cannot hold, such as NaN. SQLAlchemy is told not to wrap it: only some of its drivers would."""


REPORT = "this is a mistake in Paretune or in a plugin: please report it"

# What databases say (lower case), and how to mend it. The first that fits is shown.
_REMEDIES = (
    ("disk is full", "free some space, then go on with: paretune resume JOB"),
    ("no space left", "free some space, then go on with: paretune resume JOB"),
    ("not a database", "name another file with --db, or put a backup in its place"),
    ("malformed", "put a backup in its place, or name another file with --db"),
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
    """Turns what SQLAlchemy and the operating system raise inside into a one-line :class:`StorageError`.

    ``place`` is the database as its user may see it, without a password.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = _reason(error)
        remedy = next((remedy for sign, remedy in _REMEDIES if sign in reason.lower()), _REMEDY)
        raise StorageError(f"database {place}: {reason}", remedy) from error


def _reason(error: SQLAlchemyError | OSError) -> str:
    """The first line of what the driver or the system said."""
    said: object = error
    if isinstance(error, StatementError) and error.orig is not None:
        said = error.orig
    elif isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    lines = str(said).strip().splitlines()
    return lines[0] if lines else type(said).__name__
