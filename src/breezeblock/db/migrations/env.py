"""What alembic runs: the migrations, in the transaction that `db.migrate` opened."""

from alembic import context

from breezeblock.db import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.metadata)
context.run_migrations()
