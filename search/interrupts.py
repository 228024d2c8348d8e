"""Interrupts (SIGINT) of a process: sent by itself, let through, and held back; and the end of its parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def interrupt() -> None:
    """Interrupts the main thread of this process, as Ctrl-C does; from any thread."""
    os.kill(os.getpid(), signal.SIGINT)


def at_end_of_stdin(act: Callable[[], object]) -> None:
    """Calls a function in a thread once stdin ends: the parent closes it, and the system does if the parent dies."""

    def wait() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock would be held at this process's end
        act()

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets interrupts reach the main thread inside the ``with`` block.

    A shell without job control has them ignored by the commands that it starts in the background.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN or not _in_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Holds back an interrupt of the main thread until the end of the ``with`` block; a second one ends it.

    An interrupt at a random instruction can leave a transaction open, and with it the lock on an SQLite file.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or not _in_main_thread():
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


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
