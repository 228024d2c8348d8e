"""Where candidates come from, and since when a job loses its controllers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trials", sa.Column("origin", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("lost_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "lost_since")
    op.drop_column("trials", "origin")
