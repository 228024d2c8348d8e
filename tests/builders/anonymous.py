"""Fronts without what is new in every job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_A_JOB = ("job_id", "wall_s", "time_s", "model_path")


def without_ids(value: Any, names: Mapping[str, str]) -> Any:
    """A document without ids and times of its job; ``names`` stand for its candidates' ids."""
    if isinstance(value, dict):
        return {key: without_ids(item, names) for key, item in value.items() if key not in OF_A_JOB}
    if isinstance(value, list):
        return [without_ids(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
