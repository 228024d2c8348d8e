"""Ends what a controller leaves behind when it is killed: ``python -m search.reaper MARK`` with a pipe for stdin.

Ray's processes notice that their node is gone, but two of them then wait a minute for a server that went with it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

VARIABLE = "PARETUNE_FAMILY"
"""Holds a controller's mark in the environment of all processes that it and its children start."""


@contextmanager
def reaped() -> Iterator[None]:
    """Processes started inside end with this process, even if it is killed."""
    mark = secrets.token_hex(8)
    command = [sys.executable, "-m", "search.reaper", mark]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    os.environ[VARIABLE] = mark
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        reaper.communicate(b"done")


def reap(mark: str) -> None:
    """Kills every process that was started under the mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(VARIABLE) == mark:
                process.kill()


if __name__ == "__main__":
    if not sys.stdin.buffer.read():  # closed without a word: the controller is dead
        reap(sys.argv[1])
