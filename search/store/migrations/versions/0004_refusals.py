"""Why workers leave queued jobs to others."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("refusals", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "refusals")
