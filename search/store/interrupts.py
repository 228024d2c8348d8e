"""Interrupts of a process while it writes to the database."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Holds back an interrupt (SIGINT) of the main thread until the end of the ``with`` block; a second one ends it.

    An interrupt at a random instruction can leave a transaction open, and with it the lock on an SQLite file.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    deferred: list[FrameType | None] = []

    def defer(number: int, frame: FrameType | None) -> None:
        if deferred:
            handler(number, frame)
        deferred.append(frame)

    signal.signal(signal.SIGINT, defer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if deferred:
            handler(signal.SIGINT, deferred[0])
