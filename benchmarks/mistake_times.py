"""How long the answer to a mistake takes, as a process of its own: twenty job files and command lines.

python benchmarks/mistake_times.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

from command_line import COMMAND, environment  # noqa: E402
from mistakes import JOB_FILES, LINES, Mistake, write_folder  # noqa: E402

from hwprofiles import find_device  # noqa: E402

LIMIT_S = 2.0
SAMPLE = (*JOB_FILES[:: len(JOB_FILES) // 12], *LINES[:: len(LINES) // 8])[:20]


def time_answer(mistake: Mistake) -> tuple[float, int]:
    """Returns the wall time of the command in seconds, and its exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        write_folder(folder, mistake)
        started = time.perf_counter()
        done = subprocess.run(
            [*COMMAND, *(mistake.line or ("run", "job.yaml"))], cwd=folder, env=environment(Path(place) / "home"),
            capture_output=True, check=False,
        )  # fmt: skip
        return time.perf_counter() - started, done.returncode


def main() -> int:
    """Writes a row for each mistake; 1 if one took longer than :data:`LIMIT_S`."""
    rows = []
    for mistake in SAMPLE:
        wall_s, code = time_answer(mistake)
        assert code == mistake.code, mistake
        command = " ".join(mistake.line) or f"run job.yaml ({mistake.name})"
        rows.append({"command": command, "exit_code": code, "wall_s": f"{wall_s:.2f}"})
        print(f"{wall_s:.2f} s  {command}")
    write_rows("mistakes", find_device("local-cpu"), rows)
    slowest = max(float(row["wall_s"]) for row in rows)
    print(f"slowest {slowest:.2f} s, limit {LIMIT_S:g} s")
    return int(slowest > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
