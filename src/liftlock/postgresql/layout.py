"""The layout of a ledger in PostgreSQL: which one is there, and how it is brought forward.

Alembic changes it; it is imported only when there is something to change. Whoever comes first does
it, while the others wait for an advisory lock.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from liftlock.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

SCHEMA = "liftlock"
VERSION_TABLE = "layout"
REVISIONS = ("0001", "0002")
"""Every layout that was ever released, oldest first: Alembic's revisions, which a test compares."""
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x6C696674_6C6F636B
"""The advisory lock of whoever changes the layout: "liftlock" in ASCII."""


async def check_layout(connection: AsyncConnection, place: str) -> None:
    """Bring the layout forward where it is older. Raises `UsageError` for a newer one, or without the right."""
    found = await connection.run_sync(_version)
    if found == REVISIONS[-1]:
        return
    _refuse_newer(found, place)
    if not await connection.run_sync(_may_change, found):
        what = "is older than this liftlock" if found else "has no ledger yet"
        raise UsageError(
            f"The database {place} {what}, and our role may not change its tables.",
            hint="Let their owner run: liftlock ledger migrate",
        )
    await connection.run_sync(_migrate, place)


def _version(connection: Connection) -> str:
    """The layout's revision; "" where there is none."""
    from sqlalchemy import text

    table = f"{SCHEMA}.{VERSION_TABLE}"
    if connection.execute(text("SELECT to_regclass(:table)"), {"table": table}).scalar() is None:
        return ""
    return str(connection.execute(text(f"SELECT version_num FROM {table}")).scalar() or "")  # noqa: S608


def _may_change(connection: Connection, found: str) -> bool:
    from sqlalchemy import text

    if not found:
        there = "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = :schema"
        may = connection.execute(text(there), {"schema": SCHEMA}).scalar()
        if may is None:
            may = connection.execute(
                text("SELECT has_database_privilege(current_database(), 'CREATE')")
            ).scalar()
        return bool(may)
    owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST(:table AS regclass)"
    return bool(connection.execute(text(owns), {"table": f"{SCHEMA}.intents"}).scalar())


def _refuse_newer(found: str, place: str) -> None:
    if found and found not in REVISIONS:
        raise UsageError(
            f"The ledger {place} was written by a newer liftlock (layout {found}; this one knows "
            f"{REVISIONS[-1]}).",
            hint="Install the version that the others use: `pip install --upgrade liftlock`.",
        )


def _migrate(connection: Connection, place: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    found = _version(connection)
    _refuse_newer(found, place)
    if found == REVISIONS[-1]:  # somebody else did it while we waited
        return
    if not found and _is_missing(connection):
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_missing(connection: Connection) -> bool:
    from sqlalchemy import text

    found = connection.execute(text("SELECT to_regnamespace(:schema)"), {"schema": SCHEMA}).scalar()
    return found is None
