"""Small files of /proc and /sys, read at once and fast: they are looked at between timed inferences."""

from __future__ import annotations

from pathlib import Path

from hwprofiles.sysfs import text_at


def number(path: Path) -> float | None:
    """The one number that a file holds, None where it holds something else."""
    return as_number(text_at(path))


def as_number(value: str | None) -> float | None:
    """A number from text, None for anything else."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def field(content: str | None, name: str) -> str | None:
    """What stands behind ``name``, and a colon or a blank, at the beginning of a line.

    >>> field("nr_periods 3\\nflags\\t\\t: fpu avx2", "flags")
    'fpu avx2'
    """
    for line in (content or "").splitlines():
        key, _, value = line.replace(":", " ", 1).partition(" ")
        if key.strip() == name:
            return value.strip()
    return None


def entries_by_number(folder: Path, prefix: str) -> list[Path]:
    """The entries of a folder that are called ``prefix`` and a number, in the order of that number."""
    try:
        found = [path for path in folder.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return []
    return sorted(
        (path for path in found if path.name[len(prefix) :].isdecimal()), key=lambda path: int(path.name[len(prefix) :])
    )
