"""Reads /proc and /sys: small files that may be missing, unreadable or odd.

Each reader takes the root folder, so that a recorded tree can stand in for a machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")

_READ_BYTES = 2**16
"""At once: files of /proc/sys refuse to be read in pieces of some megabytes."""

_MOST_READS = 256


def text_at(path: Path) -> str | None:
    """What a file says, without blanks around it (and the zero byte that device trees end texts with); None where it
    says nothing or cannot be read."""
    try:
        with path.open("rb") as file:
            pieces = itertools.islice(iter(lambda: file.read(_READ_BYTES), b""), _MOST_READS)
            content = b"".join(pieces)
    except OSError:
        return None
    return content.decode(errors="replace").strip(" \t\r\n\0") or None


def number_at(path: Path) -> int | None:
    """The whole number that a file holds, None where it holds none."""
    text = text_at(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def first_text(paths: Iterable[Path]) -> str | None:
    """What the first of these files says that says anything."""
    return next((text for path in paths if (text := text_at(path)) is not None), None)


def cores_in(text: str | None) -> tuple[int, ...]:
    """Core ids of a list as the kernel writes it.

    >>> cores_in("0-2,8"), cores_in(None)
    ((0, 1, 2, 8), ())
    """
    cores: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last.isdecimal() or not last):
            cores.extend(range(int(first), int(last or first) + 1))
    return tuple(cores)
