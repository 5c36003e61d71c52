"""Leases in the ledger's PostgreSQL database, for any number of machines.

Expiry is judged by the database's clock. A holder is named by the role that it is there, or by the
person that it acts for, and by its process: the others of its machine see when that was killed, and
need not wait.
"""

from __future__ import annotations

import os
import socket

from liftlock.leases.numbered import NumberedLeases
from liftlock.leases.record import Record, Written
from liftlock.leases.sql import SqlKeeper
from liftlock.plugins import Context, Plugin
from liftlock.ports import Leases
from liftlock.postgresql.database import Database, shared_database
from liftlock.sql_store import moment_of, text_of

_WRITER = "SELECT $now AS now, $account AS account"


class PostgresqlKeeper(SqlKeeper):
    """Keeps numbers in a table of the database."""

    def __init__(self, database: Database, project: str, account: str = "", where: str = "") -> None:
        """`account` is whom we act for; "" for the role. `where` is told to others with it."""
        super().__init__(database, project)
        self._account = account
        self._where = where

    async def write(self, record: Record) -> Written:
        (row,) = await self._store.rows(self._store.dialect.sql(_WRITER), {"account": self._account})
        return Written(self.ours(record), text_of(row["account"]) + self._where, moment_of(row["now"]))


def _build(context: Context) -> Leases:
    where = f"@{socket.gethostname()} pid {os.getpid()}"
    keeper = PostgresqlKeeper(shared_database(context), context.project.name, context.acting_for, where)
    return NumberedLeases(keeper, context.clock.boottime)


plugin: Plugin[Leases] = Plugin("postgresql", _build)
