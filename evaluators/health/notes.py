"""Small JSON files in which facts about a machine are remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Notes:
    """A JSON file of rows by name, each of ``width`` numbers: the last ``kept`` rows of the last ``names`` names.

    Only the holder of the device writes. A file that cannot be read or written counts as empty: no measurement fails
    because of its notes.
    """

    def __init__(self, path: Path, *, width: int, names: int, kept: int) -> None:
        self._path, self._width, self._names, self._kept = path, width, names, kept

    def add(self, name: str, row: tuple[float, ...]) -> None:
        """Appends a row and makes its name the last one."""
        notes = self.read()
        notes[name] = [*notes.pop(name, []), row][-self._kept :]
        while len(notes) > self._names:
            del notes[next(iter(notes))]
        partial = self._path.with_suffix(f".{os.getpid()}")
        try:
            partial.write_text(json.dumps(notes))
            partial.replace(self._path)
        except OSError:
            return

    def read(self) -> dict[str, list[tuple[float, ...]]]:
        """Returns all rows by name, oldest first."""
        try:
            data = json.loads(self._path.read_text())
            notes = {str(name): [tuple(map(float, row)) for row in rows] for name, rows in data.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        return notes if all(len(row) == self._width for rows in notes.values() for row in rows) else {}
