"""Leases in the SQLite file of the ledger, for the processes of one machine.

Expiry is judged by the machine's own clock, which all of them share. A holder that was killed is
told by its process: nobody has to wait until its lease has run out.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime

from liftlock.leases.numbered import NumberedLeases
from liftlock.leases.record import Record, Written
from liftlock.leases.sql import SqlKeeper
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, Leases
from liftlock.sqlite_file import SqliteFile, path_of, user_name


class SqliteKeeper(SqlKeeper):
    """Keeps numbers in a table of the file."""

    def __init__(self, file: SqliteFile, project: str, clock: Clock, holder: str = "") -> None:
        super().__init__(file, project)
        self.file = file
        self._clock = clock
        self._holder = holder or holder_here(user_name())

    async def write(self, record: Record) -> Written:
        return Written(self.ours(record), self._holder, self._clock.now())

    def now(self) -> str:
        return self._clock.now().isoformat()

    def stored(self, moment: datetime) -> str:
        return moment.isoformat()


def holder_here(account: str) -> str:
    """How a holder is named to others: by whose process of which machine it is."""
    return f"{account}@{socket.gethostname()} pid {os.getpid()}"


def _build(context: Context) -> Leases:
    holder = holder_here(context.acting_for) if context.acting_for else ""
    keeper = SqliteKeeper(SqliteFile(path_of(context.project)), context.project.name, context.clock, holder)
    return NumberedLeases(keeper, context.clock.boottime)


plugin: Plugin[Leases] = Plugin("sqlite", _build)
