"""Kills parts of a whole service at random moments, and checks that nothing is lost, doubled or changed by it.

python benchmarks/soak.py [KILLS] [SEED] [sqlite|postgresql]

Half of the kills happen on SQLite, half on PostgreSQL.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

from campaign import Campaign, Kill  # noqa: E402
from databases import KINDS, Databases  # noqa: E402

from hwprofiles import find_device  # noqa: E402

KILLS = 300
JOBS_A_KILL = 0.2
"""Simulated jobs for each kill: enough work that none of the kills finds everything done."""


def run_campaign(kind: str, kills: int, seed: int) -> list[Kill]:
    """Runs campaigns on a kind of database until there were so many kills."""
    done: list[Kill] = []
    while len(done) < kills:
        with tempfile.TemporaryDirectory(prefix="soak-") as place:
            databases = Databases(Path(place))
            url = databases.create(kind)
            cut = None
            if kind == "postgresql":
                cut = partial(databases.server.cut_connections, url.partition("?")[0].rpartition("/")[2])
            campaign = Campaign(Path(place), url, seed + len(done), cut)
            left = kills - len(done)
            campaign.add_jobs(simulated=max(3, round(min(left, 50) * JOBS_A_KILL)), measured=2)
            done += campaign.run(min(left, 50))
            databases.close()
        print(f"{kind}: {len(done)} of {kills} kills", flush=True)
    return done


def main() -> None:
    """Writes a row for each kill, a file for each kind of database."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for kind in sys.argv[3:] or KINDS:
        rows = [asdict(kill) for kill in run_campaign(kind, kills // len(KINDS), seed)]
        write_rows(f"soak_{kind}", find_device("local-cpu"), rows)


if __name__ == "__main__":
    main()
