"""JSON documents as the fields of a table: flat, short, with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.evidence import IN_WORDS, Evidence, qualify_title
from dashboards.figures import duration, figure, interval, metric_title, moment
from dashboards.words.health import health_in_words
from dashboards.words.jobs import state_in_words
from dashboards.words.metrics import metric_names
from search.fronts.objectives import metric_interval, metric_value

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
    omitted = {"answer", "profile_digest", "evidence", "process_died"}
    titles = {"wall_s": "time used", "best_speedup": qualify_title("best speed-up", "speedup", evidence)}
    return {titles.get(key, key): value for key, value in shown.items() if key not in omitted}


def candidate_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what became of a candidate, and where it comes from, for a table."""
    standing = [document["state"].replace("_", " "), "on the front" if document["on_front"] else ""]
    standing += ["confirmed" if document["confirmed"] else "", document["unconfirmed"] and "unconfirmed"]
    return {
        "candidate": document["candidate_id"],
        "state": ", ".join(part for part in standing if part),
        "reason": document["reason"] or document["unconfirmed"],
        "changes": document["summary"],
        "runtime": document["runtime"],
        "device": document["device"],
        "job": f"{document['job']} ({document['job_id']})",
        "trial": f"{document['trial']}, proposed by {document['strategy']}"
        + (f": {document['origin']['strategy']}" if "origin" in document else ""),
        "time used": duration(document["wall_s"]) if document["wall_s"] else None,
    }


def digest_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a candidate's digests, for a table."""
    names = {"digest": "candidate", "artifact_sha256": "file (SHA-256)", "profile_digest": "device's profile"}
    return {f"digest of the {title}": document[key] for key, title in names.items()}


def metric_fields(metrics: Mapping[str, Any], evidence: Evidence) -> dict[str, str]:
    """Returns the figures of a candidate with their 95 % intervals, for a table."""
    fields = {}
    for name in metric_names(metrics):
        bounds = metric_interval(metrics, name)
        shown = f" ({interval(bounds, name)})" if bounds and bounds[0] != bounds[1] else ""
        fields[metric_title(name, evidence)] = figure(metric_value(metrics, name), name) + shown
    return fields


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
