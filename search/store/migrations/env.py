"""Runs migrations on the connection that :mod:`search.store.upgrade` hands over, inside its transaction."""

from alembic import context

from search.store.base_model import Base
from search.store.revision import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite changes tables by copying them, which Alembic calls a batch.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
