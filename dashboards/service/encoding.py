"""Documents as JSON, and what JSON does not have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from hwprofiles.errors import InvalidInput


def encode(document: Any) -> bytes:
    """Returns a document as JSON; raises :class:`InvalidInput` that names a value that JSON does not have."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError):
        place, value = next(_unknown_to_json(document), ("the job", type(document).__name__))
    place = place.removeprefix("job.")
    if isinstance(value, float):
        raise InvalidInput(f"{place}: {value} is no finite number", "write a finite number")
    raise InvalidInput(f"{place}: {value} is neither text, a number nor a list of them", "write it in quotes")


def _unknown_to_json(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values that JSON does not have, each with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unknown_to_json(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _unknown_to_json(inner, f"{place}.{number}".lstrip("."))
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        yield place, value
