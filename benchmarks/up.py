"""How long `paretune up` takes until a browser gets the first page, in a new data folder each time.

python benchmarks/up.py [REPEATS]

To hold: under 10 s on two cores. Each start makes a database, a server and a worker.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks_path import ROOT
from rows import write_rows

sys.path.append(str(ROOT / "tests" / "builders"))

from command_line import COMMAND, environment, wait_until
from remote_host import free_port

from hwprofiles import find_device

REPEATS = 10


def measure() -> float:
    """Returns the seconds from the command to the first page; ends the service afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        began = time.perf_counter()
        service = subprocess.Popen(
            [*COMMAND, "up", "--port", str(port)], env=environment(Path(folder) / "home"), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: _answers(f"http://127.0.0.1:{port}/"), "the first page")
            return time.perf_counter() - began
        finally:
            service.terminate()
            service.wait()


def main(repeats: int) -> None:
    """Writes a row for each start."""
    rows = [{"start": number, "first_page_s": round(measure(), 3)} for number in range(repeats)]
    slowest = max(row["first_page_s"] for row in rows)
    print(f"{write_rows('up', find_device('local-cpu'), rows).name}: {slowest:.1f} s at most")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status == 200 and b"<html" in page.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
