"""Runs ``paretune`` as a user's shell does: a process of its own, its output and its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

COMMAND = [sys.executable, "-m", "dashboards.main"]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
"""After so long a process is called stuck; no test's result depends on how fast it is below that."""


def environment(home: Path, **extra: str) -> dict[str, str]:
    """What the process is to see: a home of its own, our packages, and no terminal's width."""
    known = {key: value for key, value in os.environ.items() if key not in ("PARETUNE_DB", "COLUMNS")}
    path = os.pathsep.join(filter(None, [str(ROOT), known.get("PYTHONPATH", "")]))
    return known | {"PARETUNE_HOME": str(home), "PYTHONPATH": path, "COLUMNS": "160"} | extra


def paretune(
    *arguments: str | Path, home: Path, cwd: Path | None = None, before: Callable[[], None] | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; ``before`` is called in the new process, ``extra`` is added to its environment."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd or home.parent, env=environment(home, **extra), preexec_fn=before,
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def document(finished: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON document that a command printed; nothing else may be there."""
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def error_lines(finished: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """What is wrong and how to mend it; nothing on stdout, and no traceback."""
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    lines = finished.stderr.rstrip("\n").split("\n")
    assert len(lines) >= 2, finished.stderr
    assert lines[-2].startswith("error: "), finished.stderr
    assert lines[-1].startswith("  hint: "), finished.stderr
    return lines[-2].removeprefix("error: "), lines[-1].removeprefix("  hint: ")


@contextlib.contextmanager
def started(*arguments: str | Path, home: Path, log: Path, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test, in a process group of its own; whatever is left of it ends with the test."""
    # Tests that run in a shell's background ignore Ctrl-C, and what they start would inherit that.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], cwd=home.parent, env=environment(home, **extra), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=output, text=True, start_new_session=True,
        )  # fmt: skip
    signal.signal(signal.SIGINT, heard)
    try:
        yield process
    finally:
        family = relatives(process)
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def relatives(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Every process that a running one has started, and that these have."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], bool], what: str, pause_s: float = 0.02) -> None:
    """Returns when ``condition`` holds; fails when it does not in :data:`PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(pause_s)


def wait_gone(processes: list[psutil.Process]) -> None:
    """Waits until none of the processes lives; zombies do not count."""

    def gone(process: psutil.Process) -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
        except psutil.NoSuchProcess:
            return True

    wait_until(lambda: all(map(gone, processes)), f"the end of {processes}")


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, as a terminal sends it: to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
