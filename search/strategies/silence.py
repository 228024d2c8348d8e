"""Nothing on stdout from libraries that print where nobody asked them to."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDOUT = 1
_alone = threading.Lock()


@contextmanager
def silence_stdout() -> Iterator[None]:
    """What C code prints meanwhile goes nowhere, also what it would print later from a buffer.

    For moments: what other threads of the process print meanwhile is lost too. One at a time in a process; others wait.
    """
    libc = ctypes.CDLL(None)
    with _alone:
        try:
            kept = os.dup(_STDOUT)
        except OSError:  # a process without stdout
            yield
            return
        libc.fflush(None)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        os.close(nowhere)
        try:
            yield
        finally:
            libc.fflush(None)
            os.dup2(kept, _STDOUT)
            os.close(kept)
