"""The document of a job's layer tables, and of the accuracy of predictions from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.documents.report import Json
from search.store import Store


def layers_document(store: Store, job_id_or_prefix: str) -> Json:
    """A job's layer tables by device: for each structure (graph, runtime) the time of every layer in every precision.

    Times are of the layer alone, in milliseconds at the device's speed during the measurement. Empty until the job is
    prepared, and in simulations.
    """
    job = store.jobs.get(job_id_or_prefix)
    facts = (job.baseline or {}).get("facts", {})
    tables: Mapping[str, list[Json]] = facts.get("layer_tables", {})
    return {
        "job_id": job.job_id,
        "name": job.name,
        "prediction": job.prediction,
        "devices": {label: [_table(row["values"], row["table"]) for row in rows] for label, rows in tables.items()},
    }


def _table(values: Mapping[str, str], table: Mapping[str, Any]) -> Json:
    yardstick_ms = table["yardstick_ms"]
    return {
        "values": dict(values),
        "yardstick_ms": yardstick_ms,
        "whole_ms": table["whole"] * yardstick_ms,
        "layers": [
            {
                "group": unit["group"],
                "nodes": list(unit["nodes"]),
                "times": {
                    value: {key: time[key] for key in ("precision", "ms", "ratio", "ci95")}
                    | {"reason": time["reason"] or None}
                    for value, time in unit["times"].items()
                },
            }
            for unit in table["units"]
        ],
    }
