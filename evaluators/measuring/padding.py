"""Memory that is taken before a model is opened, so that it comes to lie elsewhere each time."""

from __future__ import annotations

import mmap
import random

_STEP_BYTES = 16
_HEAP_BYTES = 64 * 1024
"""Blocks of less than 128 KiB are cut from the heap by the usual allocators, so that what follows moves along it."""

_PAGES = 64


class Padding:
    """Random amounts of heap and of whole pages, from a seed. The caller holds what :meth:`take` gives for as long as
    the model is open.

    Where code and data happen to lie changes a program's speed by more than many optimisations do, and the size of the
    environment alone moves them (Mytkowicz, Diwan, Hauswirth and Sweeney, Producing Wrong Data Without Doing Anything
    Obviously Wrong!, ASPLOS 2009). Sessions opened one after another in one process share its environment and stack,
    and an allocator gives them the same places again and again: one layout's luck would look like the model's speed.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self) -> tuple[bytearray, mmap.mmap]:
        """Some memory."""
        heap = bytearray(self._random.randrange(1, _HEAP_BYTES // _STEP_BYTES) * _STEP_BYTES)
        return heap, mmap.mmap(-1, self._random.randrange(1, _PAGES) * mmap.PAGESIZE)
