"""Hints of errors where Python users see them: below the traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hwprofiles.errors import ParetuneError


@contextmanager
def hints_shown() -> Iterator[None]:
    """Add the hint of an error to its traceback."""
    try:
        yield
    except ParetuneError as error:
        note = f"hint: {error.hint}"
        if error.hint and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise
