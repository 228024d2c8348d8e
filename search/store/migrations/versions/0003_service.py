"""The service: jobs of several users in a queue, workers, logs; who may do what; several boards of a remote device."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _complete_agents()
    _add_boards()
    _summarise_trials()
    for column in (
        sa.Column("detached", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("submitted_by", sa.String(255), nullable=False, server_default="local"),
        sa.Column("project", sa.String(255), nullable=False, server_default="default"),
        sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("files", sa.JSON(), nullable=True),
        sa.Column("requested", sa.String(32), nullable=True),
        sa.Column("losses", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("finished_at_loss", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
    ):
        op.add_column("jobs", column)
    op.create_index("ix_jobs_state_submitted_by", "jobs", ["state", "submitted_by", "priority", "created_at"])
    op.create_index("uq_jobs_submitted_by_idempotency_key", "jobs", ["submitted_by", "idempotency_key"], unique=True)
    op.create_index("ix_jobs_created_at_job_id", "jobs", ["created_at", "job_id", "submitted_by", "project", "state"])
    op.create_index("ix_trials_job_id_state", "trials", ["job_id", "state", "number"])
    op.add_column("measurements", sa.Column("job_id", sa.String(8), nullable=False, server_default=sa.text("''")))
    op.execute(
        "UPDATE measurements SET job_id = "
        "(SELECT trials.job_id FROM trials WHERE trials.candidate_id = measurements.candidate_id)"
    )
    op.create_index("ix_measurements_job_id_id", "measurements", ["job_id", "id"])
    _create_tables_of_queue()
    _create_tables_of_users()
    _create_tables_of_projects()
    _create_tables_of_artefacts()
    _create_table_of_exports()


def _create_tables_of_queue() -> None:
    op.create_table(
        "dependencies",
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("after_job_id", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "after_job_id", name="pk_dependencies"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_dependencies_job_id"),
        sa.ForeignKeyConstraint(["after_job_id"], ["jobs.job_id"], name="fk_dependencies_after_job_id"),
    )
    op.create_table(
        "job_logs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("candidate_id", sa.String(12), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_job_logs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_logs_job_id"),
    )
    op.create_index("ix_job_logs_job_id", "job_logs", ["job_id"])
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(16), nullable=False),
        sa.Column("owner", sa.JSON(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
    )
    op.create_table(
        "usage",
        sa.Column("submitted_by", sa.String(255), nullable=False),
        sa.Column("used_s", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("submitted_by", name="pk_usage"),
    )


def _create_table_of_exports() -> None:
    op.create_table(
        "export_requests",
        sa.Column("export_id", sa.String(12), nullable=False),
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("candidate_id", sa.String(12), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("submitted_by", sa.String(255), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("doing", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.JSON(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bundle_sha256", sa.String(64), nullable=True),
        sa.Column("receipt", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("export_id", name="pk_export_requests"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_export_requests_job_id"),
        sa.ForeignKeyConstraint(["candidate_id"], ["trials.candidate_id"], name="fk_export_requests_candidate_id"),
    )
    op.create_index("ix_export_requests_job_id", "export_requests", ["job_id"])
    op.create_index("ix_export_requests_state_created_at", "export_requests", ["state", "created_at"])
    op.create_index(
        "uq_export_requests_submitted_by_idempotency_key", "export_requests", ["submitted_by", "idempotency_key"],
        unique=True,
    )  # fmt: skip


def _create_tables_of_users() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("subject", sa.String(512), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
        sa.UniqueConstraint("subject", name="uq_users_subject"),
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(8), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("project", sa.String(255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["user_name"], ["users.name"], name="fk_tokens_user_name"),
    )
    op.create_index("ix_tokens_user_name", "tokens", ["user_name"])
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("token_id", sa.String(8), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_name"], ["users.name"], name="fk_sessions_user_name"),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.token_id"], name="fk_sessions_token_id"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])


def _create_tables_of_projects() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    op.bulk_insert(projects, [{"name": "default", "created_at": datetime.now(UTC)}])
    op.create_table(
        "members",
        sa.Column("project", sa.String(255), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("project", "user_name", name="pk_members"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_members_project"),
        sa.ForeignKeyConstraint(["user_name"], ["users.name"], name="fk_members_user_name"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_name", sa.String(255), nullable=True),
        sa.Column("token_id", sa.String(8), nullable=True),
        sa.Column("action", sa.String(255), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])


def _create_tables_of_artefacts() -> None:
    op.create_table(
        "artefacts",
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "sha256", name="pk_artefacts"),
    )
    op.create_index("ix_artefacts_sha256", "artefacts", ["sha256"])
    op.create_index("ix_artefacts_used_at", "artefacts", ["used_at"])
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_owner", "uploads", ["owner"])


def _summarise_trials() -> None:
    """Adds what is read in place of all candidates: their number by state, and their figures in order."""
    op.create_table(
        "trial_counts",
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "state", name="pk_trial_counts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_trial_counts_job_id"),
    )
    counts = "SELECT job_id, state, count(*) FROM trials GROUP BY job_id, state"
    op.execute(f"INSERT INTO trial_counts (job_id, state, count) {counts}")
    figures = op.create_table(
        "figures",
        sa.Column("job_id", sa.String(8), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", "metric", name="pk_figures"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_figures_job_id"),
        sqlite_with_rowid=False,
    )
    trials = sa.table("trials", *map(sa.column, ("job_id", "number", "state")), sa.column("metrics", sa.JSON()))
    measured = trials.c.state.in_(("done", "infeasible"))
    connection = op.get_bind()
    for job_id in connection.execute(sa.select(trials.c.job_id).distinct()).scalars().all():
        query = sa.select(trials.c.number, trials.c.state, trials.c.metrics).where(trials.c.job_id == job_id, measured)
        rows = [
            {"job_id": job_id, "number": number, "metric": metric, "state": state, "value": value}
            for number, state, metrics in connection.execute(query)
            for metric, entry in metrics.items()
            if (value := _main_figure(entry)) is not None
        ]
        op.bulk_insert(figures, rows)
    op.create_index("ix_figures_job_id_metric_state", "figures", ["job_id", "metric", "state", "value", "number"])


def _main_figure(entry: object) -> float | None:
    if isinstance(entry, dict):
        entry = next((entry[name] for name in ("p50", "ratio", "value") if name in entry), None)
    return float(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else None


def _complete_agents() -> None:
    """Adds the columns that the first form of revision 0002 lacked; nothing wrote these tables then."""
    if "offer" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("agents")}:
        return
    with op.batch_alter_table("agents") as agents:
        agents.add_column(sa.Column("instance", sa.String(64), nullable=True))
        agents.add_column(sa.Column("offer", sa.JSON(), nullable=False))
    with op.batch_alter_table("errands") as errands:
        errands.add_column(sa.Column("deaths", sa.Integer(), nullable=False))
        errands.add_column(sa.Column("holder", sa.String(64), nullable=True))


def _add_boards() -> None:
    """Lets a remote device have several boards."""
    empty = sa.text("''")
    with op.batch_alter_table("agents") as agents:
        agents.add_column(sa.Column("board", sa.String(255), nullable=False, server_default=empty))
        agents.add_column(sa.Column("resource", sa.String(255), nullable=True))
        agents.alter_column("token_sha256", existing_type=sa.String(64), nullable=True)
        agents.drop_constraint("pk_agents", type_="primary")
        agents.create_primary_key("pk_agents", ["device", "board"])
    op.add_column("errands", sa.Column("tried", sa.Text(), nullable=False, server_default=empty))


def downgrade() -> None:
    for table in (
        "uploads", "artefacts", "audit", "members", "projects", "sessions", "tokens", "users", "export_requests",
        "usage", "workers", "job_logs", "dependencies", "figures", "trial_counts",
    ):  # fmt: skip
        op.drop_table(table)
    op.drop_column("errands", "tried")
    op.execute("DELETE FROM agents WHERE board <> '' OR token_sha256 IS NULL")
    with op.batch_alter_table("agents") as agents:
        agents.drop_constraint("pk_agents", type_="primary")
        agents.create_primary_key("pk_agents", ["device"])
        agents.alter_column("token_sha256", existing_type=sa.String(64), nullable=False)
        agents.drop_column("resource")
        agents.drop_column("board")
    op.drop_index("ix_measurements_job_id_id", "measurements")
    op.drop_column("measurements", "job_id")
    op.drop_index("ix_trials_job_id_state", "trials")
    for index in (
        "ix_jobs_created_at_job_id", "uq_jobs_submitted_by_idempotency_key", "ix_jobs_state_submitted_by",
    ):  # fmt: skip
        op.drop_index(index, "jobs")
    for column in (
        "progress", "retry_at", "finished_at_loss", "losses", "requested", "files", "idempotency_key", "priority",
        "project", "submitted_by", "detached",
    ):  # fmt: skip
        op.drop_column("jobs", column)
