"""The first schema: profiles, devices, jobs, trials, measurements, fronts and exports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_jobs()
    _create_results()


def _create_jobs() -> None:
    op.create_table(
        "profiles",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_profiles"),
    )
    op.create_table(
        "devices",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("profile_digest", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_devices"),
        sa.ForeignKeyConstraint(["profile_digest"], ["profiles.digest"], name="fk_devices_profile_digest"),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("spec_folder", sa.Text(), nullable=False),
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("profile_digest", sa.String(64), nullable=False),
        sa.Column("space", sa.JSON(), nullable=True),
        sa.Column("baseline", sa.JSON(), nullable=True),
        sa.Column("strategy_state", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wall_s", sa.Float(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.JSON(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["profile_digest"], ["profiles.digest"], name="fk_jobs_profile_digest"),
    )
    op.create_index("ix_jobs_name", "jobs", ["name"])
    op.create_table(
        "trials",
        sa.Column("candidate_id", sa.String(12), nullable=False),
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("decisions", sa.JSON(), nullable=False),
        sa.Column("strategy", sa.String(255), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("artifact_sha256", sa.String(64), nullable=True),
        sa.Column("wall_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("candidate_id", name="pk_trials"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_trials_job_id"),
        sa.UniqueConstraint("job_id", "number", name="uq_trials_job_id_number"),
        sa.UniqueConstraint("job_id", "digest", name="uq_trials_job_id_digest"),
    )


def _create_results() -> None:
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.String(12), nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurements"),
        sa.ForeignKeyConstraint(["candidate_id"], ["trials.candidate_id"], name="fk_measurements_candidate_id"),
    )
    op.create_index("ix_measurements_candidate_id", "measurements", ["candidate_id"])
    op.create_table(
        "fronts",
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("front", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_fronts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_fronts_job_id"),
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.String(12), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
        sa.ForeignKeyConstraint(["candidate_id"], ["trials.candidate_id"], name="fk_exports_candidate_id"),
    )
    op.create_index("ix_exports_candidate_id", "exports", ["candidate_id"])


def downgrade() -> None:
    for table in ("exports", "fronts", "measurements", "trials", "jobs", "devices", "profiles"):
        op.drop_table(table)
