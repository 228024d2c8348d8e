"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

_BEGINNING = 3
"""Fewest characters of a beginning that names the whole: ``acc``."""


def closest(name: str, names: Collection[str]) -> str | None:
    """Returns the most similar of ``names``, else the first that begins so; None if there is none.

    >>> closest("latency", ["speedup", "latency_ms"]), closest("int4", ["int8", "int4_weight"])
    ('latency_ms', 'int4_weight')
    """
    begun = [other for other in sorted(names) if len(name) >= _BEGINNING and other.startswith(name)]
    return next(iter(begun or difflib.get_close_matches(name, names, n=1)), None)


def nearest(name: str, names: Collection[str]) -> str:
    """Returns the hint for an unknown name: the most similar of ``names``, or all of them."""
    near = closest(name, names)
    return f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(names))}"


def nearest_file(path: Path, otherwise: str) -> str:
    """Returns the hint for a file that does not exist: the most similar one in its folder, or ``otherwise``."""
    try:
        beside = [file.name for file in path.parent.iterdir() if file.is_file()]
    except OSError:
        return otherwise
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"did you mean {str(path.with_name(near[0]))!r}?" if near else otherwise
