"""The store: SQL is the queue and the truth of everything that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hwprofiles import Profile
from search.candidate import Candidate
from search.states import JobState, TrialState

Json = dict[str, Any]


@dataclass(frozen=True)
class JobRow:
    """A job as stored. ``spec`` is the resolved job file; ``space`` and ``baseline`` are None until prepared.
    ``baseline`` is ``{"metrics": {...}, "facts": {...}}``. ``strategy_state`` is what the strategy's ``state_dict``
    returned after the last block told."""

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
    error: str | None
    hint: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    wall_s: float


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


class Store:
    """Jobs, candidates, measurements with raw samples, devices and profiles, versions of fronts, exports.

    Methods are transactions: each happens whole or not at all, and is durable when it returns. Safe for several
    processes at once, and for several threads. Writers of a job pass their :class:`Lease`; a stale one raises
    :class:`StaleLease` and nothing is written. Any database that cannot be reached, read or written raises
    :class:`hwprofiles.errors.StorageError`; a job or candidate that does not exist raises
    :class:`hwprofiles.errors.NotFound`.
    """

    def __init__(self, url: str) -> None: ...
    def close(self) -> None: ...

    # jobs
    def create_job(self, *, name: str, spec: Json, spec_folder: str, profile: Profile) -> str: ...
    def lease_job(self, job_id: str, owner: Json, lease_s: float = 30.0) -> Lease: ...
    def renew(self, lease: Lease, lease_s: float = 30.0) -> None: ...
    def release(self, lease: Lease) -> None: ...
    def set_job_state(self, lease: Lease, state: JobState, *, error: str | None = None, hint: str | None = None) -> None: ...
    def set_prepared(self, lease: Lease, *, space: Json, baseline: Json) -> None: ...
    def add_wall_time(self, lease: Lease, seconds: float) -> None: ...
    def job(self, id_or_prefix: str) -> JobRow: ...
    def jobs(self) -> list[JobRow]: ...

    # trials
    def add_trials(self, lease: Lease, block: int, strategy: str, simulated: bool, candidates: Sequence[tuple[int, Candidate]]) -> list[TrialRow]: ...
    def set_trial_state(self, lease: Lease, candidate_id: str, state: TrialState) -> None: ...
    def finish_trial(self, lease: Lease, candidate_id: str, state: TrialState, *, reason: str | None = None,
                     metrics: Mapping[str, Any] | None = None, artifact_sha256: str | None = None,
                     measurement: Json | None = None, wall_s: float = 0.0) -> None: ...
    def replace_measurement(self, lease: Lease, candidate_id: str, *, state: TrialState, metrics: Mapping[str, Any], measurement: Json, phase: str) -> None: ...
    def finish_block(self, lease: Lease, strategy_state: Json) -> None: ...
    def trials(self, job_id: str) -> list[TrialRow]: ...
    def trial(self, id_or_prefix: str) -> TrialRow: ...
    def measurements(self, candidate_id: str) -> list[Json]: ...

    # devices, fronts, exports
    def devices(self) -> list[tuple[str, Profile]]: ...
    def profile(self, digest: str) -> Profile: ...
    def add_front(self, lease: Lease, front: Json) -> int: ...
    def front(self, job_id: str, version: int | None = None) -> Json | None: ...
    def add_export(self, candidate_id: str, folder: str, verdict: str, receipt: Json) -> None: ...
    def exports(self, candidate_id: str) -> list[Json]: ...
