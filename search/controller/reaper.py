"""Ends the processes that a killed controller leaves behind.

Run as ``python -m search.controller.reaper FOLDER``, with stdin connected to its owner.

Ray's processes notice that their node is gone, but two of them then wait a minute for a server that is gone too. They
are recognised by the files that they hold open, since they overwrite their environment and arguments.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def folder_with_reaper() -> Iterator[Path]:
    """Makes a folder and removes it afterwards.

    If this process is killed, a reaper removes the folder and kills all processes that hold files in it open. The name
    is short, since the folder contains sockets.
    """
    folder = Path(tempfile.mkdtemp(prefix="paretune-ray-", dir=os.environ.get("RAY_TMPDIR") or "/tmp"))
    command = [sys.executable, "-m", "search.controller.reaper", str(folder)]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield folder
    finally:
        reaper.communicate(b"done")
        shutil.rmtree(folder, ignore_errors=True)


def reap(folder: Path) -> None:
    """Kills every process that holds a file in the folder open, and removes the folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(Path(file.path).is_relative_to(folder) for file in process.open_files()):
                process.kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not sys.stdin.buffer.read():  # stdin closed without data: the owner is dead
        reap(Path(sys.argv[1]))
