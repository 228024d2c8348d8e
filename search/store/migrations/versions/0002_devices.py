"""Several devices a job, predictions, capabilities, remote agents and what they are asked to measure."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("devices", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("prediction", sa.JSON(), nullable=True))
    op.create_table(
        "capabilities",
        sa.Column("profile_digest", sa.String(64), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("profile_digest", name="pk_capabilities"),
        sa.ForeignKeyConstraint(["profile_digest"], ["profiles.digest"], name="fk_capabilities_profile_digest"),
    )
    op.create_table(
        "agents",
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("instance", sa.String(64), nullable=True),
        sa.Column("profile_digest", sa.String(64), nullable=True),
        sa.Column("offer", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("device", name="pk_agents"),
        sa.UniqueConstraint("token_sha256", name="uq_agents_token_sha256"),
        sa.ForeignKeyConstraint(["profile_digest"], ["profiles.digest"], name="fk_agents_profile_digest"),
    )
    op.create_table(
        "errands",
        sa.Column("errand_id", sa.String(32), nullable=False),
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("profile_digest", sa.String(64), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("errand_id", name="pk_errands"),
        sa.ForeignKeyConstraint(["profile_digest"], ["profiles.digest"], name="fk_errands_profile_digest"),
    )
    op.create_index("ix_errands_device", "errands", ["device"])


def downgrade() -> None:
    for table in ("errands", "agents", "capabilities"):
        op.drop_table(table)
    for column in ("prediction", "devices"):
        op.drop_column("jobs", column)
