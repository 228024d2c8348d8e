"""Silences libraries that print to stdout unasked."""

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
    """Discards what C code prints to stdout within the context, including buffered output.

    Use it briefly: output of other threads of the process is lost too. Only one context is active in a process; others
    wait.
    """
    libc = ctypes.CDLL(None)
    with _alone:
        try:
            saved = os.dup(_STDOUT)
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
            os.dup2(saved, _STDOUT)
            os.close(saved)
