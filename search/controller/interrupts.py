"""Interrupts of a controller, which waits for trials in its main thread for minutes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def interrupt() -> None:
    """Interrupts the main thread of this process, as Ctrl-C does; from any thread."""
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets interrupts reach the main thread inside the ``with`` block.

    A shell without job control has them ignored by the commands that it starts in the background.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
