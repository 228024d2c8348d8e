"""Rows that the store returns: frozen data, independent of any database session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from search.outcome import TrialOutcome
from search.states import JobState, TrialState

Json = dict[str, Any]


@dataclass(frozen=True)
class JobRow:
    """A job as stored. Times are in UTC, with their time zone."""

    job_id: str
    name: str
    state: JobState
    spec: Json
    """The resolved job file."""
    spec_folder: str
    """The folder that relative paths of the job file start from."""
    device: str
    """Label of the first device."""
    profile_digest: str
    space: Json | None
    """The search space; None until the job is prepared."""
    baseline: Json | None
    """``{"metrics": {...}, "facts": {...}}`` of the fp32 model; None until the job is prepared."""
    strategy_state: Json | None
    """The strategy's ``state_dict`` after the last complete block; ``_missing`` holds the digests of candidates that
    were told to it as missing."""
    devices: list[Json] | None
    """``{"device", "profile_digest"}`` of each device; None for a job of an earlier version, which had one device."""
    prediction: Json | None
    """Accuracy of the latency predictions; None if nothing was predicted."""
    error: str | None
    hint: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    wall_s: float
    """Seconds that the job has run, over all of its controllers."""
    lease_owner: Json | None = None
    """The process that may write the job."""
    lease_until: datetime | None = None
    """End of the lease; None while nobody holds one."""


def digests_of(job: JobRow) -> dict[str, str]:
    """Profile digests of a job's devices by label, in the job's order."""
    further = (job.devices or [])[1:]
    return {job.device: job.profile_digest} | {device["device"]: device["profile_digest"] for device in further}


@dataclass(frozen=True)
class TrialRow:
    """A candidate as stored."""

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
    """Why it failed, is infeasible, or was put off."""
    metrics: Json
    """Empty until measured."""
    artifact_sha256: str | None
    """Digest of the ONNX file."""
    wall_s: float

    def with_outcome(self, outcome: TrialOutcome) -> TrialRow:
        """Returns the row once the candidate's outcome is stored."""
        return replace(
            self, state=outcome.state, reason=outcome.reason, metrics=dict(outcome.metrics),
            artifact_sha256=outcome.artifact_sha256, wall_s=outcome.wall_s,
        )  # fmt: skip


@dataclass(frozen=True)
class Lease:
    """The right to write a job. Only the lease with the highest epoch is valid."""

    job_id: str
    epoch: int
