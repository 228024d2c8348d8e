"""Returns freed memory to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

LARGE_BYTES = 2**20
"""Blocks above this size are returned at once, see :func:`give_large_blocks_back`."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_USUAL_BYTES = 32 * 2**20
"""Once a process has freed large blocks, glibc keeps smaller ones for reuse, and twice as much at the heap's end."""


def give_back_memory() -> None:
    """Returns freed memory to the system.

    The C library keeps much of it: a process that opens models one after another would hold several times the memory
    that it uses. Does nothing if the library has no such function.
    """
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def give_large_blocks_back() -> None:
    """Makes this process return blocks above :data:`LARGE_BYTES` as soon as they are freed.

    By default the C library keeps them for reuse, which is faster but costs several times a model's size while it is
    read, converted and run. Not for processes that measure: a runtime should find memory as in any user's process.
    """
    if (option := _function("mallopt")) is not None:
        option(_M_MMAP_THRESHOLD, LARGE_BYTES)


@contextmanager
def without_leftovers() -> Iterator[None]:
    """Returns large blocks as soon as they are freed inside the ``with`` block, and the remaining ones at its end.

    Afterwards the C library has the thresholds that it would set by itself in a process that freed large blocks.
    """
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
