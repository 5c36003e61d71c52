"""Leases in a table beside the ledger's: what a file and a server share.

The row with an environment's highest number counts. Whoever inserts it holds the lease, and the
table's key lets one taker alone do so.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime
from typing import Any

from liftlock.leases.numbered import Look
from liftlock.leases.processes import is_gone, this_process
from liftlock.leases.record import FREE, Record, Standing, Written, read_record
from liftlock.sql_store import Row, Statement, Store, moment_of, row_read

LOOK = """
    SELECT $now AS now, number, holder, written_at, record FROM (SELECT 1) AS one
    LEFT JOIN $leases AS kept ON kept.project = :project AND kept.environment = :environment
    ORDER BY number
"""
CREATE = """
    INSERT INTO $leases (project, environment, number, holder, written_at, record)
    VALUES (:project, :environment, :number, :holder, :written_at, :record) ON CONFLICT DO NOTHING
"""
MOVE = """
    UPDATE $leases SET holder = :holder, written_at = :written_at, record = :record
    WHERE project = :project AND environment = :environment AND number = :number
"""
REMOVE = "DELETE FROM $leases WHERE project = :project AND environment = :environment AND number = :number"
NUMBER = """
    SELECT holder, record FROM $leases
    WHERE project = :project AND environment = :environment AND number = :number
"""


class SqlKeeper(ABC):
    """Keeps numbers in a table. A handle is a row's text: what a look found stays as it was."""

    def __init__(self, store: Store, project: str) -> None:
        self._store = store
        self._project = project
        self._process = this_process()

    @abstractmethod
    async def write(self, record: Record) -> Written:
        """The record as it would be written now, by us, at the keeper's own time."""

    def now(self) -> str:
        """Our time, for a store that has none of its own."""
        return ""

    def stored(self, moment: datetime) -> Any:
        """A moment as the store takes it."""
        return moment

    def ours(self, record: Record) -> Record:
        """The record with our process, if it says that we hold something: others of this machine can look for it."""
        return replace(record, process=self._process) if record.standing is Standing.HELD else record

    async def look(self, environment: str) -> Look:
        values = {"project": self._project, "environment": environment, "now": self.now()}
        rows = await self._store.rows(self._store.dialect.sql(LOOK), values)
        with row_read(self._store.place, f"A lease of {environment}"):
            found = {_number(row): _handle(row) for row in rows if row["number"] is not None}
            return Look(moment_of(rows[0]["now"]), found)

    async def read(self, environment: str, number: int, handle: str) -> Written:
        holder, written_at, text = json.loads(handle)
        with row_read(self._store.place, f"Lease {number} of {environment}"):
            at = moment_of(written_at)
        record = read_record(text, f"{self._store.place}, number {number} of {environment}")
        return Written(record, str(holder), at, handle, is_gone(record.process))

    async def create(self, environment: str, number: int, written: Written) -> bool:
        """One whose answer was lost is found again by what it wrote: a record's nonce is its taker's own."""
        found = await self._change(CREATE, environment, number, written)
        return found == (written.writer, written.record.text())

    async def move(self, environment: str, number: int, written: Written) -> bool:
        return await self._change(MOVE, environment, number, written) is not None

    async def free(self, environment: str, number: int) -> None:
        await self.move(environment, number, await self.write(FREE))

    async def remove(self, environment: str, number: int) -> None:
        await self._store.change(self._statement(REMOVE, environment, number))

    async def _change(
        self, sql: str, environment: str, number: int, written: Written
    ) -> tuple[str, str] | None:
        """Do it; gives what the number says then, None when there is no such number."""
        values = {
            "holder": written.writer,
            "written_at": self.stored(written.at),
            "record": written.record.text(),
        }
        rows = await self._store.change(
            self._statement(sql, environment, number, **values),
            self._statement(NUMBER, environment, number),
        )
        return (rows[0]["holder"], rows[0]["record"]) if rows else None

    def _statement(self, sql: str, environment: str, number: int, **values: Any) -> Statement:
        place = {"project": self._project, "environment": environment, "number": number}
        return self._store.dialect.sql(sql), place | values


def _number(row: Row) -> int:
    number = row["number"]
    if not isinstance(number, int):
        raise TypeError(f"its number is {number!r}")
    return number


def _handle(row: Row) -> str:
    at = row["written_at"]
    return json.dumps([row["holder"], at.isoformat() if isinstance(at, datetime) else at, row["record"]])
