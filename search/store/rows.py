"""Rows that the store returns: frozen data, independent of any database session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from search.outcome import TrialOutcome
from search.permissions import DEFAULT_PROJECT, LOCAL_USER
from search.states import JobRequest, JobState, TrialState

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
    were told to it as missing, ``_rewards`` its learning curve."""
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
    detached: bool = False
    """Whether workers run it; else the command that made it does."""
    submitted_by: str = LOCAL_USER
    project: str = DEFAULT_PROJECT
    priority: int = 0
    """Of two queued jobs of a user, the one with the higher priority begins first."""
    files: Json | None = None
    """SHA-256 of the job's files by path, which are in the artefact store; None: they are in ``spec_folder``."""
    requested: JobRequest | None = None
    """What its controller is asked to do."""
    losses: int = 0
    """Controllers that were lost in a row without any progress."""
    retry_at: datetime | None = None
    """When a job whose controller was lost may begin again."""
    progress: Json | None = None
    """What is going on while it runs."""


def digests_of(job: JobRow) -> dict[str, str]:
    """Profile digests of a job's devices by label, in the job's order."""
    further = (job.devices or [])[1:]
    return {job.device: job.profile_digest} | {device["device"]: device["profile_digest"] for device in further}


@dataclass(frozen=True)
class Submission:
    """How a job gets into the queue."""

    submitted_by: str = LOCAL_USER
    project: str = DEFAULT_PROJECT
    priority: int = 0
    idempotency_key: str | None = None
    """Two submissions of a user with one key make one job."""
    files: Mapping[str, str] | None = None
    """SHA-256 of the job's files by path; None: they are in its folder."""
    after: tuple[str, ...] = ()
    """Ids of the jobs that must be done before."""

    @property
    def columns(self) -> Json:
        """Values of the job's columns."""
        return {
            "detached": True, "submitted_by": self.submitted_by, "project": self.project, "priority": self.priority,
            "idempotency_key": self.idempotency_key, "files": None if self.files is None else dict(self.files),
        }  # fmt: skip


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
    origin: Json | None = None
    """Where its strategy had it from (:attr:`search.space.candidate.Candidate.origin`); None if that is not said, as of
    candidates of an earlier version."""

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
