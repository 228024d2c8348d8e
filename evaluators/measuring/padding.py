"""Allocates random padding before a model is opened, so that its addresses differ each time."""

from __future__ import annotations

import mmap
import random

_STEP_BYTES = 16
_HEAP_BYTES = 64 * 1024
"""Common allocators take blocks below 128 KiB from the heap, so that later blocks move along it."""

_PAGES = 64


class Padding:
    """Random amounts of heap memory and whole pages, determined by a seed.

    The caller keeps a reference to the result of :meth:`take` while the model is open.

    The addresses of code and data change a program's speed by more than many optimisations do, and the size of the
    environment alone moves them (Mytkowicz, Diwan, Hauswirth and Sweeney, Producing Wrong Data Without Doing Anything
    Obviously Wrong!, ASPLOS 2009). Sessions opened one after another in one process would get the same addresses again
    and again, and one layout's luck would look like the model's speed.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self) -> tuple[bytearray, mmap.mmap]:
        """Allocates some memory."""
        heap = bytearray(self._random.randrange(1, _HEAP_BYTES // _STEP_BYTES) * _STEP_BYTES)
        return heap, mmap.mmap(-1, self._random.randrange(1, _PAGES) * mmap.PAGESIZE)
