"""Reads values from small files of /proc and /sys; fast, since it happens between timed inferences."""

from __future__ import annotations

from pathlib import Path

from hwprofiles.sysfs import text_at


def number(path: Path) -> float | None:
    """Returns a file's number, None if it holds anything else."""
    return as_number(text_at(path))


def as_number(value: str | None) -> float | None:
    """Converts text to a number; None for anything else."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def field(content: str | None, name: str) -> str | None:
    """Returns the value of ``name`` in lines of the form ``name: value`` or ``name value``.

    >>> field("nr_periods 3\\nflags\\t\\t: fpu avx2", "flags")
    'fpu avx2'
    """
    for line in (content or "").splitlines():
        key, _, value = line.replace(":", " ", 1).partition(" ")
        if key.strip() == name:
            return value.strip()
    return None


def entries_by_number(folder: Path, prefix: str) -> list[Path]:
    """Returns a folder's entries whose name is ``prefix`` and a number, ordered by that number."""
    try:
        entries = [path for path in folder.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return []
    return sorted(
        (path for path in entries if path.name[len(prefix) :].isdecimal()),
        key=lambda path: int(path.name[len(prefix) :]),
    )
