"""Brings a database to the newest layout, with Alembic, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from liftlock.errors import LiftlockError
from liftlock.wording import listed

LOCK = 0x6C6F636B
"""The number of the advisory lock that a migrating process holds on PostgreSQL."""
VERSIONS = "serve_version"
"""The table that says which layout a database has; the ledger may be in the same database."""


def migrate(engine: Engine) -> None:
    """Bring the database to this liftlock's layout. Blocks; others wait meanwhile.

    Raises `LiftlockError` for a database that a newer liftlock has brought further.
    """
    with _alone(engine) as connection:
        config = configuration(connection)
        script = ScriptDirectory.from_config(config)
        at = MigrationContext.configure(connection, opts={"version_table": VERSIONS}).get_current_heads()
        known = {revision.revision for revision in script.walk_revisions()}
        if unknown := sorted(set(at) - known):
            raise LiftlockError(
                f"The server's database has the layout {listed(unknown)}, which this liftlock does not know.",
                hint="It was used by a newer one: run that, or restore a backup from before.",
            )
        if set(at) != set(script.get_heads()):
            command.upgrade(config, "heads")


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, without a file; migrations run on this connection, in its transaction."""
    config = Config()
    config.set_main_option("script_location", str(files("liftlock.web.store") / "migrations"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """One transaction that no other process migrates beside. All of a migration is done, or none."""
    if engine.dialect.name == "sqlite":
        with engine.execution_options(writes=True).begin() as connection:
            yield connection
        return
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection
