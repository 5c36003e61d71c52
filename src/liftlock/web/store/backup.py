"""The server's own database as a file, and back: row by row, so that it fits either kind of database.

The file holds hashes of sessions and tokens, no secret that lets anybody in; who was signed in stays so.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, LargeBinary, Table, func, insert, select, text

from liftlock.errors import LiftlockError, UsageError
from liftlock.web.store import open_store
from liftlock.web.store.migrate import VERSIONS
from liftlock.web.store.tables import metadata

FORMAT = 1
AT_ONCE = 500


async def write_backup(address: str, path: Path) -> int:
    """Write every row into a new file, all as of one moment; returns how many. Raises `UsageError`."""
    async with open_store(address) as store:

        def write(connection: Connection) -> int:
            if not store.is_sqlite:  # SQLite reads as of one moment by itself
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            with _new_file(path) as plain, gzip.GzipFile(fileobj=plain, mode="wb") as file:
                lines = _lines(connection)
                count = 0
                for count, line in enumerate(lines):  # noqa: B007 - the first line is no row
                    file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
                return count

        return await store.read(write)


async def read_backup(path: Path, address: str) -> int:
    """Put every row of a backup into an empty database; returns how many. All of it, or nothing."""
    async with open_store(address) as store:

        def read(connection: Connection) -> int:
            if taken := [
                t.name for t in _tables() if connection.execute(select(func.count()).select_from(t)).scalar()
            ]:
                raise UsageError(
                    f"The server's database is not empty: there are {', '.join(taken)}.",
                    hint="Restore into a new one: name it as [serve] database.",
                )
            return _restored(connection, path)

        return await store.write(read)


def _lines(connection: Connection) -> Iterator[Mapping[str, Any]]:
    heads = MigrationContext.configure(connection, opts={"version_table": VERSIONS}).get_current_heads()
    yield {"liftlock_serve_backup": FORMAT, "layout": sorted(heads)}
    for table in _tables():
        binary = _binary(table)
        for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings():
            values = {
                key: base64.b64encode(value).decode() if key in binary and value is not None else value
                for key, value in row.items()
            }
            yield {"table": table.name, "row": values}


def _restored(connection: Connection, path: Path) -> int:
    tables = {table.name: table for table in _tables()}
    waiting: dict[str, list[dict[str, Any]]] = {}
    count = 0

    def put(name: str) -> None:
        if rows := waiting.pop(name, []):
            connection.execute(insert(tables[name]), rows)

    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = json.loads(file.readline())
            if head.get("liftlock_serve_backup") != FORMAT:
                raise UsageError(f"{path} is no backup of a server's database.")
            for line in file:
                entry = json.loads(line)
                name, row = entry["table"], entry["row"]
                for key in _binary(tables[name]):
                    row[key] = base64.b64decode(row[key]) if row.get(key) is not None else None
                waiting.setdefault(name, []).append(row)
                count += 1
                if len(waiting[name]) >= AT_ONCE:
                    put(name)
        for name in list(waiting):
            put(name)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or 'it is no backup'}.") from error
    except (EOFError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is damaged, or no backup of a server's database.") from error
    _count_on(connection)
    return count


def _count_on(connection: Connection) -> None:
    """PostgreSQL's own counters go on after the rows that were restored."""
    if connection.dialect.name != "postgresql":
        return
    for table in _tables():
        column = table.autoincrement_column
        if column is not None:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "  # noqa: S608 - our own names
                    f"(SELECT coalesce(max({column.name}), 0) + 1 FROM {table.name}), false)"
                )
            )


def _tables() -> list[Table]:
    return list(metadata.sorted_tables)


def _binary(table: Table) -> list[str]:
    return [column.name for column in table.columns if isinstance(column.type, LargeBinary)]


def _new_file(path: Path) -> BinaryIO:
    try:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists, and is not overwritten.", hint="Name another file.") from error
    except OSError as error:
        raise LiftlockError(f"{path} cannot be written: {error.strerror}.") from error
    return os.fdopen(number, "wb")
