"""Jobs in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def state_in_words(job: Mapping[str, Any]) -> str:
    """Returns a job's state, from its status document; one whose process has died goes on only when it is resumed."""
    return "interrupted (its process has died)" if job["process_died"] else str(job["state"])


def device_names(job: Mapping[str, Any]) -> list[str]:
    """Returns the devices of a job's status document."""
    return [part["device"] for part in job.get("devices", [job])]
