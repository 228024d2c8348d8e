"""Memory that a process no longer uses, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

LARGE_BYTES = 2**20

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_USUAL_BYTES = 32 * 2**20
"""Smaller blocks glibc keeps for the next, once a process has freed large ones; and twice as much at the heap's end."""


def give_back_memory() -> None:
    """Gives back what was freed. The C library keeps much of it: a process that opened models one after another would
    hold several times what it uses. Does nothing where the library has no such function."""
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def give_large_blocks_back() -> None:
    """From now on this process gives blocks of more than :data:`LARGE_BYTES` back as soon as they are freed.

    The C library would keep them for the next, which is quicker, and of a model that is read, converted and run takes
    several times its size. Not for processes that measure: a runtime is to find memory as in anybody's process.
    """
    if (option := _function("mallopt")) is not None:
        option(_M_MMAP_THRESHOLD, LARGE_BYTES)


@contextmanager
def without_leftovers() -> Iterator[None]:
    """Inside, large blocks are given back as soon as they are freed; afterwards all that is left of them is, and the C
    library has the thresholds to which it comes by itself in a process that has freed large blocks."""
    give_large_blocks_back()
    try:
        yield
    finally:
        if (option := _function("mallopt")) is not None:
            option(_M_MMAP_THRESHOLD, _USUAL_BYTES)
            option(_M_TRIM_THRESHOLD, 2 * _USUAL_BYTES)
        give_back_memory()


@cache
def _function(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
