"""What techniques noted of a candidate, as items that terminal and pages show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.words import Json
from dashboards.words.format_strip import decided_formats, formats_without_decision
from search.space.candidate import Space
from search.space.display import Strip, describe_formats, items_of, items_to_json


def formats_of(space: Space | None, decisions: Mapping[str, str], metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns the number format of each layer group: that of its training, otherwise the decision's; may be empty."""
    return dict(metrics.get("formats") or decided_formats(space, decisions))


def display_of(space: Space | None, decisions: Mapping[str, str], metrics: Mapping[str, Any]) -> list[Json]:
    """Returns a candidate's items, with a strip of the formats that it decided unless a technique gives one.

    The ``fields`` of a strip are its formats that follow from no decision.
    """
    items, decided = items_of(metrics), decided_formats(space, decisions)
    if not any(isinstance(item, Strip) for item in items):
        items = describe_formats(decided) + items
    return [
        item | {"fields": formats_without_decision(item["blocks"], decided)} if "blocks" in item else item
        for item in items_to_json(items)
    ]
