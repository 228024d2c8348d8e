"""What the store returns: frozen rows, free of any database session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from search.states import JobState, TrialState

Json = dict[str, Any]


@dataclass(frozen=True)
class JobRow:
    """A job as stored. ``spec`` is the resolved job file; ``space`` and ``baseline`` are None until prepared.
    ``baseline`` is ``{"metrics": {...}, "facts": {...}}``. ``strategy_state`` is what the strategy's ``state_dict``
    returned after the last block told, and under ``_missing`` the digests of candidates that it was told nothing of;
    ``devices`` holds ``{"device", "profile_digest"}`` of each device (None for a job of an earlier version, which had
    one), ``prediction`` is None where nothing was predicted. ``lease_owner`` is who may write it, ``lease_until`` until
    when. Times are in UTC and know it."""

    job_id: str
    name: str
    state: JobState
    spec: Json
    spec_folder: str
    device: str
    profile_digest: str
    space: Json | None
    baseline: Json | None
    strategy_state: Json | None
    devices: list[Json] | None
    prediction: Json | None
    error: str | None
    hint: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    wall_s: float
    lease_owner: Json | None = None
    lease_until: datetime | None = None


def digests_of(job: JobRow) -> dict[str, str]:
    """The profile's digest of each of a job's devices, by label, in the job's order."""
    further = (job.devices or [])[1:]
    return {job.device: job.profile_digest} | {device["device"]: device["profile_digest"] for device in further}


@dataclass(frozen=True)
class TrialRow:
    """A candidate as stored. ``metrics`` is empty until measured; ``artifact_sha256`` names the exported file."""

    candidate_id: str
    job_id: str
    number: int
    block: int
    digest: str
    decisions: dict[str, str]
    strategy: str
    simulated: bool
    state: TrialState
    reason: str | None
    metrics: Json
    artifact_sha256: str | None
    wall_s: float


@dataclass(frozen=True)
class Lease:
    """The right to write a job: whoever holds the highest epoch. A writer with an older one writes nothing."""

    job_id: str
    epoch: int
