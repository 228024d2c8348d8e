"""Small items by which a technique describes what it noted of a candidate; terminal and pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]

DISPLAY = "display"
"""Key of a candidate's items in its metrics."""


@dataclass(frozen=True)
class Fields:
    """Names with their values."""

    title: str
    fields: Mapping[str, str]
    note: str = ""
    """A sentence below the title."""


@dataclass(frozen=True)
class Strip:
    """One block for each layer."""

    title: str
    blocks: Mapping[str, str]
    """The number format of each layer, in the graph's order."""
    note: str = ""
    """A sentence below the title."""


Item = Fields | Strip

_KINDS: dict[str, type[Fields] | type[Strip]] = {"fields": Fields, "strip": Strip}


def items_to_json(items: Iterable[Item]) -> list[Json]:
    """Converts items to JSON-able data.

    >>> items_to_json([Fields("Architecture", {"depth": "3"})])
    [{'kind': 'fields', 'title': 'Architecture', 'fields': {'depth': '3'}, 'note': ''}]
    """
    names = {kind: name for name, kind in _KINDS.items()}
    return [{"kind": names[type(item)], **asdict(item)} for item in items]


def items_of(metrics: Mapping[str, Any]) -> list[Item]:
    """Returns the items in a candidate's metrics; kinds that this version does not know are left out."""
    if DISPLAY not in metrics:  # stored by an earlier version
        formats, architecture = metrics.get("formats") or {}, metrics.get("architecture") or {}
        return describe_formats(formats, architecture, simulated=bool(metrics.get("simulated_formats")))
    rows = [dict(row) for row in metrics[DISPLAY]]
    return [_KINDS[kind](**row) for row in rows if (kind := row.pop("kind")) in _KINDS]


def describe_formats(
    layers: Mapping[str, str], architecture: Mapping[str, str] | None = None, *, simulated: bool = False
) -> list[Item]:
    """Returns the number formats of layers as a strip, and the choices of a sub-network; what is empty is left out."""
    note = "The bits of each layer's weights, in the graph's order."
    note += " No runtime computes in all of these formats: they are simulated." if simulated else ""
    strip = [Strip("Layers", layers, note)] if layers else []
    note = "The sub-network of the task's elastic network that the training found."
    return [*strip, *([Fields("Architecture", architecture, note)] if architecture else [])]
