"""docs/pruning.md against the criteria."""

from __future__ import annotations

import re
from pathlib import Path

from search.pruning.criteria import CRITERIA

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pruning.md").read_text()


def test_each_criterion_says_what_it_needs_and_sees() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    written = {name: (needs.strip(), seen.strip()) for name, needs, seen in rows}
    expected = {
        name: (one.needs.value, ", ".join(sorted(found.value for found in one.sees)) or "–")
        for name, one in CRITERIA.items()
    }
    assert written == expected
