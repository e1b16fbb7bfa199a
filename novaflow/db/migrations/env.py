"""How alembic runs: on the connection that novaflow.db.migrate hands over, within its transaction."""

from alembic import context

from novaflow.db.schema.metadata import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
