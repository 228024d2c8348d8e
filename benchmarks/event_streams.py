"""How much of a core the server needs while 200 readers follow a job that runs: its processor time over a minute.

python benchmarks/event_streams.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

from command_line import COMMAND, environment, wait_until  # noqa: E402
from driven_search import Search, open_search  # noqa: E402

from hwprofiles import find_device  # noqa: E402
from search.store import Store  # noqa: E402

LIMIT = 0.2
"""Of one core."""

READERS, SECONDS, CANDIDATE_S, START = (0, 1, 50, 200), 30.0, 1.0, 60
"""Numbers of readers, seconds of each run, seconds of a candidate, and candidates at the start."""


async def follow(address: str, job_id: str, readers: int, seconds: float) -> tuple[int, int]:
    """Follows a job with so many readers; returns the events and the bytes that they got."""
    host, port = address.removeprefix("http://").split(":")
    request = f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    got = [0, 0]

    async def read() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        try:
            while data := await reader.read(65536):
                got[0] += data.count(b"event: ")
                got[1] += len(data)
        finally:
            writer.close()

    tasks = [asyncio.create_task(read()) for _ in range(readers)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got[0], got[1]


def measure(search: Search, address: str, server: psutil.Process, readers: int) -> dict[str, object]:
    """Returns a row: the server's share of a core while a candidate is measured each second."""

    async def run() -> tuple[float, float, tuple[int, int]]:
        following = asyncio.create_task(follow(address, search.job_id, readers, SECONDS))
        await asyncio.sleep(2.0)  # everything as it is, sent once
        used, started = sum(server.cpu_times()[:2]), time.monotonic()
        while not following.done():
            await asyncio.to_thread(search.add)
            if len(search.ids) % 5 == 0:
                await asyncio.to_thread(search.store_front, [0, len(search.ids) - 1])
            await asyncio.sleep(CANDIDATE_S)
        return sum(server.cpu_times()[:2]) - used, time.monotonic() - started, following.result()

    used_s, wall_s, (events, received) = asyncio.run(run())
    return {
        "readers": readers, "candidates": len(search.ids), "wall_s": f"{wall_s:.1f}", "events": events,
        "received_bytes": received, "server_cpu_s": f"{used_s:.2f}", "share_of_core": f"{used_s / wall_s:.3f}",
    }  # fmt: skip


def main() -> int:
    """Writes a row for each number of readers; 1 if the last one needs more than :data:`LIMIT`."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        home, log = Path(place) / "home", Path(place) / "log"
        with log.open("w") as output:
            process = subprocess.Popen([*COMMAND, "serve", "--port", "0"], env=environment(home), stderr=output)
        try:
            wait_until(lambda: "Paretune is at" in log.read_text(), "the server")
            address = log.read_text().split()[3]
            with Store(f"sqlite:///{home / 'paretune.db'}") as store:
                search = open_search(store)
                search.add(START)
                search.store_front([0, 4, 8])
                for readers in READERS:
                    rows.append(measure(search, address, psutil.Process(process.pid), readers))
                    print(rows[-1], flush=True)
        finally:
            process.kill()
            process.wait()
    write_rows("event_streams", find_device("local-cpu"), rows)
    return int(float(str(rows[-1]["share_of_core"])) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
