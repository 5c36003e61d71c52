"""What Alembic runs to migrate: on the connection, and in the transaction, that `migrate` holds."""

from __future__ import annotations

from alembic import context

from liftlock.web.store.migrate import VERSIONS
from liftlock.web.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSIONS,
    transactional_ddl=True,
)
context.run_migrations()
