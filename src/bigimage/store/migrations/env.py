"""Runs migrations within the transaction of the store that opens the database."""

from alembic import context

from bigimage.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()
