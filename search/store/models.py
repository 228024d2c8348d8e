"""The tables. ``migrations/`` creates them; a test keeps the two equal."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from search.permissions import DEFAULT_PROJECT, LOCAL_USER
from search.states import ExportState, JobRequest, JobState, RequestState, TrialState
from search.store.base_model import Base, Json
from search.store.columns import FreeText, json_column, state_column


class Profile(Base):
    """A hardware profile. Never changed or removed: records refer to it by digest."""

    __tablename__ = "profiles"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    data: Mapped[Json]
    created_at: Mapped[datetime]


class Device(Base):
    """A device by name, and its most recent profile."""

    __tablename__ = "devices"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    profile_digest: Mapped[str] = mapped_column(ForeignKey("profiles.digest"))
    seen_at: Mapped[datetime]


class Capability(Base):
    """Results of probing the device of a profile: supported operators and their speed-ups."""

    __tablename__ = "capabilities"

    profile_digest: Mapped[str] = mapped_column(ForeignKey("profiles.digest"), primary_key=True)
    record: Mapped[Json]
    created_at: Mapped[datetime]


class Agent(Base):
    """A board of a remote device. Its agent is identified by the hash of its token, and refused once revoked; a node of
    a Ray cluster has no token, but the ``resource`` by which it declares the device."""

    __tablename__ = "agents"

    device: Mapped[str] = mapped_column(String(255), primary_key=True)
    board: Mapped[str] = mapped_column(String(255), primary_key=True, server_default=text("''"))
    token_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)
    resource: Mapped[str | None] = mapped_column(String(255))
    instance: Mapped[str | None] = mapped_column(String(64))
    profile_digest: Mapped[str | None] = mapped_column(ForeignKey("profiles.digest"))
    offer: Mapped[Json]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Request(Base):
    """A measurement request to a remote device: its content, its lease, and its result. The table is called errands.

    ``tried`` names the boards that could not answer it for the moment, each between bars.
    """

    __tablename__ = "errands"

    errand_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    device: Mapped[str] = mapped_column(String(255), index=True)
    profile_digest: Mapped[str] = mapped_column(ForeignKey("profiles.digest"))
    request: Mapped[Json]
    state: Mapped[RequestState] = mapped_column(state_column(RequestState))
    epoch: Mapped[int]
    deaths: Mapped[int]
    tried: Mapped[str] = mapped_column(FreeText, server_default=text("''"))
    holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    result: Mapped[Json | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Job(Base):
    """A job and its lease: ``epoch`` counts the leases, ``lease_until`` is None while nobody holds one.

    A ``detached`` job is run by workers, any other by the command that made it. ``requested`` is what its controller is
    asked to do. ``losses`` counts the controllers lost in a row, since ``finished_at_loss`` candidates were finished;
    the first was lost at ``lost_since``.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_state_submitted_by", "state", "submitted_by", "priority", "created_at"),
        # Lists of jobs: without it each row is read, which may hold megabytes.
        Index("ix_jobs_created_at_job_id", "created_at", "job_id", "submitted_by", "project", "state"),
        Index("uq_jobs_submitted_by_idempotency_key", "submitted_by", "idempotency_key", unique=True),
    )

    job_id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(FreeText, index=True)
    state: Mapped[JobState] = mapped_column(state_column(JobState))
    spec: Mapped[Json]
    spec_folder: Mapped[str] = mapped_column(FreeText)
    device: Mapped[str] = mapped_column(String(255))
    profile_digest: Mapped[str] = mapped_column(ForeignKey("profiles.digest"))
    space: Mapped[Json | None]
    baseline: Mapped[Json | None]
    strategy_state: Mapped[Json | None]
    devices: Mapped[list[Json] | None] = mapped_column(json_column())
    prediction: Mapped[Json | None]
    error: Mapped[str | None] = mapped_column(FreeText)
    hint: Mapped[str | None] = mapped_column(FreeText)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    wall_s: Mapped[float]
    epoch: Mapped[int]
    lease_owner: Mapped[Json | None]
    lease_until: Mapped[datetime | None]
    detached: Mapped[bool] = mapped_column(server_default=false())
    submitted_by: Mapped[str] = mapped_column(String(255), server_default=LOCAL_USER)
    project: Mapped[str] = mapped_column(String(255), server_default=DEFAULT_PROJECT)
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    files: Mapped[Json | None]
    requested: Mapped[JobRequest | None] = mapped_column(state_column(JobRequest))
    losses: Mapped[int] = mapped_column(server_default=text("0"))
    finished_at_loss: Mapped[int] = mapped_column(server_default=text("0"))
    lost_since: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    progress: Mapped[Json | None]


class Dependency(Base):
    """A job begins after another one is done."""

    __tablename__ = "dependencies"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), primary_key=True)
    after_job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), primary_key=True)


class LogLine(Base):
    """A line of a job's log."""

    __tablename__ = "job_logs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), index=True)
    at: Mapped[datetime]
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(FreeText)
    candidate_id: Mapped[str | None] = mapped_column(String(12))


class Worker(Base):
    """A worker that runs queued jobs: its process, and when it was last heard from."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[Json]
    slots: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    refusals: Mapped[Json | None]
    """Why it leaves queued jobs to others, by their ids."""


class Usage(Base):
    """Seconds that a user's jobs ran, halved for each half-life up to ``at``."""

    __tablename__ = "usage"

    submitted_by: Mapped[str] = mapped_column(String(255), primary_key=True)
    used_s: Mapped[float]
    at: Mapped[datetime]


class Trial(Base):
    """A candidate of a job; listings use the index of (job_id, number) too."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        UniqueConstraint("job_id", "digest"),
        Index("ix_trials_job_id_state", "job_id", "state", "number"),
    )

    candidate_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"))
    number: Mapped[int]
    block: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    decisions: Mapped[Json]
    strategy: Mapped[str] = mapped_column(String(255))
    simulated: Mapped[bool]
    state: Mapped[TrialState] = mapped_column(state_column(TrialState))
    reason: Mapped[str | None] = mapped_column(FreeText)
    metrics: Mapped[Json]
    artifact_sha256: Mapped[str | None] = mapped_column(String(64))
    wall_s: Mapped[float]
    origin: Mapped[Json | None]


class TrialCount(Base):
    """How many candidates of a job are in a state: counting them would take longer with each one."""

    __tablename__ = "trial_counts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), primary_key=True)
    state: Mapped[TrialState] = mapped_column(state_column(TrialState), primary_key=True)
    count: Mapped[int]


class Figure(Base):
    """The main figure of a measured candidate's metric, by which lists of candidates are sorted."""

    __tablename__ = "figures"
    __table_args__ = (
        Index("ix_figures_job_id_metric_state", "job_id", "metric", "state", "value", "number"),
        {"sqlite_with_rowid": False},
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    metric: Mapped[str] = mapped_column(FreeText, primary_key=True)
    state: Mapped[TrialState] = mapped_column(state_column(TrialState))
    value: Mapped[float]


class Measurement(Base):
    """One measurement record of a candidate with its raw samples; never changed, later ones are added."""

    __tablename__ = "measurements"
    __table_args__ = (Index("ix_measurements_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    candidate_id: Mapped[str] = mapped_column(ForeignKey("trials.candidate_id"), index=True)
    phase: Mapped[str] = mapped_column(String(32))
    record: Mapped[Json]
    created_at: Mapped[datetime]
    job_id: Mapped[str] = mapped_column(String(8), server_default=text("''"))
    """That of the candidate: it finds a job's newest measurement without its candidates."""


class Front(Base):
    """A version of a job's front; versions count from 1."""

    __tablename__ = "fronts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    front: Mapped[Json]
    created_at: Mapped[datetime]


class Export(Base):
    """An exported bundle and its receipt."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    candidate_id: Mapped[str] = mapped_column(ForeignKey("trials.candidate_id"), index=True)
    folder: Mapped[str] = mapped_column(FreeText)
    verdict: Mapped[str] = mapped_column(FreeText)
    receipt: Mapped[Json]
    created_at: Mapped[datetime]


class ExportRequest(Base):
    """An export that a worker is asked for: what is wanted, its lease, and what came of it.

    ``losses`` counts the workers that were lost while they held it.
    """

    __tablename__ = "export_requests"
    __table_args__ = (
        Index("ix_export_requests_state_created_at", "state", "created_at"),
        Index("uq_export_requests_submitted_by_idempotency_key", "submitted_by", "idempotency_key", unique=True),
    )

    export_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), index=True)
    candidate_id: Mapped[str] = mapped_column(ForeignKey("trials.candidate_id"))
    options: Mapped[Json]
    submitted_by: Mapped[str] = mapped_column(String(255))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[ExportState] = mapped_column(state_column(ExportState))
    doing: Mapped[str | None] = mapped_column(FreeText)
    epoch: Mapped[int]
    losses: Mapped[int]
    lease_owner: Mapped[Json | None]
    lease_until: Mapped[datetime | None]
    bundle_sha256: Mapped[str | None] = mapped_column(String(64))
    receipt: Mapped[Json | None]
    error: Mapped[str | None] = mapped_column(FreeText)
    hint: Mapped[str | None] = mapped_column(FreeText)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Artefact(Base):
    """A user's right to a file in the artefact store; ``used_at`` is when they last put or named it."""

    __tablename__ = "artefacts"

    owner: Mapped[str] = mapped_column(String(255), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime] = mapped_column(index=True)


class Upload(Base):
    """A file that a user is sending: what was announced; ``changed_at`` is when a part of it last arrived."""

    __tablename__ = "uploads"

    upload_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(255), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime]
