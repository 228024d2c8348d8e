"""JSON documents as the fields of a table: flat, short, with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.documents.health import health_in_words
from dashboards.documents.jobs import state_in_words
from dashboards.evidence import IN_WORDS, Evidence, qualify_title
from dashboards.figures import duration, figure, moment

_TIMES = ("created_at", "started_at", "finished_at")


def status_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the plain fields of a status document under their names, figures rounded and with units.

    Omits digests, and fields that another one repeats.
    """
    evidence = Evidence(document["evidence"])
    shown = {
        **{key: value for key, value in document.items() if not isinstance(value, dict | list)},
        "state": state_in_words(document),
        **{key: None if document[key] is None else moment(document[key]) for key in _TIMES},
        "wall_s": duration(document["wall_s"]),
        "best_speedup": None if document["best_speedup"] is None else figure(document["best_speedup"], "speedup"),
        "simulated": IN_WORDS[evidence] or None,
    }
    omitted = {"profile_digest", "evidence", "process_died"}
    titles = {"wall_s": "time used", "best_speedup": qualify_title("best speed-up", "speedup", evidence)}
    return {titles.get(key, key): value for key, value in shown.items() if key not in omitted}


def health_fields(health: Mapping[str, Any]) -> dict[str, str]:
    """Returns the verdict, and the signals that the machine does not expose, for a table."""
    return {"health": health_in_words(health), "unknown signals": ", ".join(health.get("unknown", ())) or "none"}


def flatten(value: Any, place: str = "") -> dict[str, Any]:
    """Flattens nested mappings to dotted names with short texts, for a table.

    >>> flatten({"a": {"b": [1, 2]}, "c": None})
    {'a.b': '1, 2', 'c': None}
    """
    if isinstance(value, dict):
        inner = (flatten(item, f"{place}.{key}".lstrip(".")) for key, item in value.items())
        return {key: item for part in inner for key, item in part.items()}
    return {place: _short(value)}


def _short(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return ", ".join(_element(item) for item in value) or None


def _element(item: Any) -> str:
    if isinstance(item, dict) and "level" in item:
        shared = f" for {item['shared_by']}" if item["shared_by"] > 1 else ""
        return f"L{item['level']} {item['kind']} {item['size_bytes'] // 1024} KiB{shared}"
    if isinstance(item, dict):
        return " ".join(f"{key}={value}" for key, value in item.items() if value is not None)
    return " ".join(map(str, item)) if isinstance(item, list) else str(item)
