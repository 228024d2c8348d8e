"""Raw rows of benchmarks, in a folder a profile."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwprofiles import Profile

RESULTS = Path(__file__).parent / "results"


def write_rows(name: str, profile: Profile, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes ``results/<device>-<digest>/<name>.csv`` and the profile beside it."""
    path = _path(name, profile)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.json").write_text(json.dumps(profile.to_dict(), indent=2) + "\n")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_rows(name: str, profile: Profile) -> list[dict[str, Any]]:
    """What :func:`write_rows` wrote, so that an interrupted benchmark goes on; every value is text."""
    path = _path(name, profile)
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _path(name: str, profile: Profile) -> Path:
    return RESULTS / f"{profile.device}-{profile.digest[:8]}" / f"{name}.csv"
