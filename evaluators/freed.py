"""Memory that a process no longer uses, given back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def give_back_memory() -> None:
    """Gives back what was freed. The C library keeps much of it: a process that opened models one after another would
    hold several times what it uses. Does nothing where the library has no such function."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
