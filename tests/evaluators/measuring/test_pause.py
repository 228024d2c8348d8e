"""Work that pauses inside itself lets a waiting measurement go first, and never waits for it while holding it up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluators.processes import locks

MEASURE = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from evaluators.processes import locks
print("waiting", flush=True)
with locks.measuring():
    print("measuring", flush=True)
"""


def test_a_pause_inside_work_lets_the_measurement_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with locks.working():
        command = [sys.executable, "-c", MEASURE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                locks.pause_point()
                with locks.working():  # held already: nothing to wait for
                    time.sleep(0.01)
            assert process.stdout.read() == "measuring\n"
            assert process.returncode == 0
