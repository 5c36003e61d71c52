"""Leases in the SQLite file of the ledger, for the processes of one machine.

Expiry is judged by the machine's own clock, which all of them share. A holder that was killed is
told by its process: nobody has to wait until its lease has run out.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from dataclasses import replace

from liftlock.leases.numbered import Look, NumberedLeases
from liftlock.leases.processes import is_gone, this_process
from liftlock.leases.record import FREE, Record, Standing, Written, read_record
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, Leases
from liftlock.sqlite_file import SqliteFile, path_of, row_read, user_name
from liftlock.wording import read_moment

_LOOK = "SELECT * FROM leases WHERE project = ? AND environment = ? ORDER BY number"
_CREATE = "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_MOVE = """
    UPDATE leases SET holder = ?, written_at = ?, record = ?
    WHERE project = ? AND environment = ? AND number = ?
"""
_REMOVE = "DELETE FROM leases WHERE project = ? AND environment = ? AND number = ?"


class SqliteKeeper:
    """Keeps numbers in a table. A handle is a row's text: what a look found stays as it was."""

    def __init__(self, file: SqliteFile, project: str, clock: Clock, holder: str = "") -> None:
        self.file = file
        self._project = project
        self._clock = clock
        self._process = this_process()
        self._holder = holder or f"{user_name()}@{socket.gethostname()} pid {os.getpid()}"

    async def look(self, environment: str) -> Look:
        rows = await self.file.rows(_LOOK, (self._project, environment))
        with row_read(self.file.path, f"A lease of {environment}"):
            return Look(self._clock.now(), {_number(row): _handle(row) for row in rows})

    async def read(self, environment: str, number: int, handle: str) -> Written:
        holder, written_at, text = json.loads(handle)
        where = f"{self.file.path}, number {number} of {environment}"
        with row_read(self.file.path, f"Lease {number} of {environment}"):
            at = read_moment(written_at)
        record = read_record(text, where)
        return Written(record, str(holder), at, handle, is_gone(record.process))

    async def write(self, record: Record) -> Written:
        if record.standing is Standing.HELD:
            record = replace(record, process=self._process)
        return Written(record, self._holder, self._clock.now())

    async def create(self, environment: str, number: int, written: Written) -> bool:
        return await self._change(_CREATE, (self._project, environment, number, *_columns(written)))

    async def move(self, environment: str, number: int, written: Written) -> bool:
        return await self._change(_MOVE, (*_columns(written), self._project, environment, number))

    async def free(self, environment: str, number: int) -> None:
        await self.move(environment, number, await self.write(FREE))

    async def remove(self, environment: str, number: int) -> None:
        await self._change(_REMOVE, (self._project, environment, number))

    async def _change(self, sql: str, values: tuple[str | int, ...]) -> bool:
        def change(db: sqlite3.Connection) -> bool:
            return db.execute(sql, values).rowcount == 1

        return await self.file.write(change, durable=True)


def _columns(written: Written) -> tuple[str, str, str]:
    return written.writer, written.at.isoformat(), written.record.text()


def _number(row: sqlite3.Row) -> int:
    number = row["number"]
    if not isinstance(number, int):
        raise TypeError(f"its number is {number!r}")
    return number


def _handle(row: sqlite3.Row) -> str:
    return json.dumps([row["holder"], row["written_at"], row["record"]])


def _build(context: Context) -> Leases:
    keeper = SqliteKeeper(SqliteFile(path_of(context.project)), context.project.name, context.clock)
    return NumberedLeases(keeper, context.clock.boottime)


plugin: Plugin[Leases] = Plugin("sqlite", _build)
