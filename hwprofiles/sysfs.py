"""Reads small files of /proc and /sys, which may be missing, unreadable or malformed.

Callers build paths from a root folder, so that a recorded tree can replace a machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")

_READ_BYTES = 2**16
"""Bytes of one read: files of /proc/sys refuse reads of some megabytes."""

_MOST_READS = 256


def text_at(path: Path) -> str | None:
    """Returns a file's text without surrounding blanks and zero bytes (device trees end texts with one).

    None if it is empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            pieces = itertools.islice(iter(lambda: file.read(_READ_BYTES), b""), _MOST_READS)
            content = b"".join(pieces)
    except OSError:
        return None
    return content.decode(errors="replace").strip(" \t\r\n\0") or None


def number_at(path: Path) -> int | None:
    """Returns a file's whole number, None if it holds something else or cannot be read."""
    text = text_at(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def first_text(paths: Iterable[Path]) -> str | None:
    """Returns the text of the first file that has any."""
    return next((text for path in paths if (text := text_at(path)) is not None), None)


def cores_in(text: str | None) -> tuple[int, ...]:
    """Core ids from the kernel's list format.

    >>> cores_in("0-2,8"), cores_in(None)
    ((0, 1, 2, 8), ())
    """
    cores: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last.isdecimal() or not last):
            cores.extend(range(int(first), int(last or first) + 1))
    return tuple(cores)
