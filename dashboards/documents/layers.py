"""The document of a job's layer tables, and of the accuracy of predictions from them."""

from __future__ import annotations

from dashboards.words import Json
from evaluators.probing.layer_table import UnitTime
from search.job.facts import JobFacts, StructureTable
from search.store import Store


def layers_document(store: Store, job_id_or_prefix: str) -> Json:
    """Returns a job's layer tables by device: for each structure (graph, runtime) the time of every layer in every
    precision.

    Times are of the layer alone, in milliseconds at the device's speed during the measurement. Empty until the job is
    prepared, and in simulations.
    """
    job = store.jobs.get(job_id_or_prefix)
    tables = JobFacts.from_dict((job.baseline or {}).get("facts", {})).layer_tables
    return {
        "job_id": job.job_id,
        "name": job.name,
        "prediction": job.prediction,
        "devices": {label: list(map(_table, rows)) for label, rows in tables.items()},
    }


def _table(row: StructureTable) -> Json:
    table = row.table
    return {
        "values": dict(row.values),
        "yardstick_ms": table.yardstick_ms,
        "whole_ms": table.whole * table.yardstick_ms,
        "layers": [
            {
                "group": unit.group,
                "nodes": list(unit.nodes),
                "times": {value: _time(time) for value, time in unit.times.items()},
            }
            for unit in table.units
        ],
    }


def _time(time: UnitTime) -> Json:
    return {
        "precision": time.precision.value,
        "ms": time.ms,
        "ratio": time.ratio,
        "ci95": time.ci95 and list(time.ci95),
        "reason": time.reason or None,
    }
