"""What Alembic runs to bring a layout forward: in the transaction that it is given, or not at all."""

from __future__ import annotations

from alembic import context

from liftlock.postgresql.layout import SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
