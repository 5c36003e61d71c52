"""The ledger in an SQLite file: for projects without GitHub, and for the embedded default.

A commit waits for the disk only where a crash of the machine could lose a truth that nothing
else tells: an intent, and its end. Records in between are carried to the disk by the end's commit;
until then their promotion stands open, and a resume makes what is missing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio

from liftlock.errors import UsageError
from liftlock.ledgers.sql import SHOWN
from liftlock.ledgers.sql_copies import CopyingSqlLedger
from liftlock.model import Deployment, Intent, Recorded
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, EnvironmentRecords, Ledger
from liftlock.probes import Finding, Probe
from liftlock.sqlite_file import SqliteFile, path_of, user_name

_CURRENT = """
    SELECT * FROM $deployments $by_deployments_that_count
    WHERE project = :project AND environment = :environment AND app = :app
    AND (reached_success OR state IS NULL) ORDER BY id DESC LIMIT 1
"""
_SINCE = """
    SELECT * FROM $deployments $by_deployments_of_app
    WHERE project = :project AND environment = :environment AND app = :app AND id > :current ORDER BY id DESC
"""


class SqliteLedger(CopyingSqlLedger):
    """`ports.Ledger` on one SQLite file, shared by any number of processes of one machine."""

    name = "sqlite"

    def __init__(self, path: Path, project: str, clock: Clock, account: str = "") -> None:
        """The file is opened, and made when it is absent, at the first call."""
        self.file = SqliteFile(path)
        super().__init__(self.file, project, clock, account or user_name())

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self.file.close()

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        return [Probe("SQLite ledger", str(self.file.path), self._probe)]

    async def _probe(self) -> Finding:
        """Whether the file, or the folder where it will be made, can be written. Neither is touched."""
        path = anyio.Path(self.file.path.absolute())
        is_there = await path.exists()
        for place in (path, path.parent) if is_there else (path.parent,):
            if not os.access(place, os.W_OK):
                raise UsageError(
                    f"{place} cannot be written, and the ledger has to be.",
                    hint="Let this user write it, or name another file as [project] ledger.",
                )
        if not is_there:
            return Finding("will be made at the first record")
        return Finding(f"{await self.count()} records")

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        return _SqliteRecords(self, environment, apps)

    def stored(self, moment: datetime) -> str:
        return moment.isoformat()

    async def reserve(self, table: str, count: int) -> Sequence[int]:
        def take(db: sqlite3.Connection) -> Sequence[int]:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
            last = row[0] if row else 0
            if row is None:
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, 0)", (table,))
            db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last + count, table))
            return range(last + 1, last + count + 1)

        return await self.file.write(take, durable=True)


class _SqliteRecords:
    """One environment's records. Each look is a local query: nothing is kept but its result."""

    def __init__(self, ledger: SqliteLedger, environment: str, apps: Sequence[str]) -> None:
        self._ledger = ledger
        self._environment = environment
        self._apps = tuple(apps)
        self._newest: Mapping[str, Deployment] | None = None
        self._recorded: Mapping[str, Recorded] | None = None

    async def newest(self) -> Mapping[str, Deployment]:
        if self._newest is None:
            found = {app: await self._ledger.deployments(self._environment, app, 1) for app in self._apps}
            self._newest = {app: records[0] for app, records in found.items() if records}
        return self._newest

    async def recorded(self) -> Mapping[str, Recorded]:
        if self._recorded is None:
            self._recorded = {app: await self._judge(app) for app in self._apps}
        return self._recorded

    async def earlier(self) -> Mapping[str, Sequence[Deployment]]:
        return {app: await self._ledger.deployments(self._environment, app, SHOWN) for app in self._apps}

    async def open_intents(self) -> Sequence[Intent]:
        return await self._ledger.open_intents(self._environment)

    async def _judge(self, app: str) -> Recorded:
        ledger = self._ledger
        place: dict[str, Any] = {"project": ledger.project, "environment": self._environment, "app": app}
        current = await ledger.file.rows(ledger.sql(_CURRENT), place)
        place["current"] = current[0]["id"] if current else 0
        failed = await ledger.file.rows(ledger.sql(_SINCE), place)
        return Recorded(
            ledger.deployment(current[0]) if current else None,
            tuple(ledger.deployment(row) for row in failed),
        )


def newest_intents(path: Path, project: str, environment: str, most: int) -> Sequence[tuple[str, str]]:
    """The newest promotions' ids, each with its environment, state and time; none without a readable file.

    For a shell's completion: it waits for nobody, and neither makes nor mends the file.
    """
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
        with closing(db):
            rows = db.execute(
                "SELECT id, environment, state, created_at FROM intents WHERE project = ? AND ? IN ('', environment)"
                " ORDER BY id DESC LIMIT ?",
                (project, environment, most),
            )
            return [(str(id_), f"{where}, {state}, {at[:16]}") for id_, where, state, at in rows]
    except sqlite3.Error:
        return []


def _build(context: Context) -> Ledger:
    return SqliteLedger(path_of(context.project), context.project.name, context.clock, context.acting_for)


plugin: Plugin[Ledger] = Plugin("sqlite", _build)
