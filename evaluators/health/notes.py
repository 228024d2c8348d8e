"""What a machine's measurements are remembered in."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Notes:
    """A small JSON file of rows of ``width`` numbers by name: the last ``kept`` of each of the last ``names``.

    Only whoever holds the device writes. A file that cannot be read or written means that nothing is known: no
    measurement fails for its notes.
    """

    def __init__(self, path: Path, *, width: int, names: int, kept: int) -> None:
        self._path, self._width, self._names, self._kept = path, width, names, kept

    def add(self, name: str, row: tuple[float, ...]) -> None:
        """Appends a row; the name becomes the last one."""
        known = self.read()
        known[name] = [*known.pop(name, []), row][-self._kept :]
        while len(known) > self._names:
            del known[next(iter(known))]
        partial = self._path.with_suffix(f".{os.getpid()}")
        try:
            partial.write_text(json.dumps(known))
            partial.replace(self._path)
        except OSError:
            return

    def read(self) -> dict[str, list[tuple[float, ...]]]:
        """All rows, the oldest first."""
        try:
            data = json.loads(self._path.read_text())
            known = {str(name): [tuple(map(float, row)) for row in rows] for name, rows in data.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        return known if all(len(row) == self._width for rows in known.values() for row in rows) else {}
