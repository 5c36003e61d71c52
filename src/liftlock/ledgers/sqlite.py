"""The ledger in an SQLite file: for projects without GitHub, and for the embedded default.

A commit waits for the disk only where a crash of the machine could lose a truth that nothing
else tells: an intent, and its end. Records in between are carried to the disk by the end's commit;
until then their promotion stands open, and a resume makes what is missing.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio

from liftlock.errors import UsageError
from liftlock.ledgers.payload import intent_payload, read_intent, read_record, record_payload
from liftlock.model import Approval, Deployment, Intent, Recorded, State
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, EnvironmentRecords, Ledger, NewDeployment, NewIntent, anything
from liftlock.probes import Finding, Probe
from liftlock.sqlite_file import SqliteFile, path_of, row_read, user_name
from liftlock.wording import read_moment

# The indexes are named: without statistics SQLite takes a wider one, and reads more with every record.
_INTENTS = "SELECT * FROM intents WHERE project = ? ORDER BY id DESC LIMIT ? OFFSET ?"
_INTENTS_OF_ENVIRONMENT = """
    SELECT * FROM intents WHERE project = ? AND environment = ? ORDER BY id DESC LIMIT ? OFFSET ?
"""
_OPEN_INTENTS = """
    SELECT * FROM intents INDEXED BY open_intents
    WHERE project = ? AND environment = ? AND state IN ('in_progress', 'queued', 'pending') ORDER BY id DESC
"""
_HISTORY = """
    SELECT * FROM deployments INDEXED BY deployments_of_app
    WHERE project = ? AND environment = ? AND app = ? ORDER BY id DESC LIMIT ? OFFSET ?
"""
_CURRENT = """
    SELECT * FROM deployments INDEXED BY deployments_that_count
    WHERE project = ? AND environment = ? AND app = ? AND (reached_success OR state IS NULL)
    ORDER BY id DESC LIMIT 1
"""
_SINCE = """
    SELECT * FROM deployments INDEXED BY deployments_of_app
    WHERE project = ? AND environment = ? AND app = ? AND id > ? ORDER BY id DESC
"""

_APPROVE = (
    "INSERT INTO approvals (project, environment, plan, account, at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
)
_APPROVALS = """
    SELECT account, at, expires_at FROM approvals
    WHERE project = ? AND environment = ? AND plan = ? ORDER BY id DESC
"""
AT_A_TIME = 100
"""How many rows are read at once where not each of them is wanted."""
SHOWN = 20
"""How many of an app's newest records are shown beside the newest one."""


T = TypeVar("T", Intent, Deployment)


class SqliteLedger:
    """`ports.Ledger` on one SQLite file, shared by any number of processes of one machine."""

    name = "sqlite"
    concurrency = 64

    def __init__(self, path: Path, project: str, clock: Clock, account: str = "") -> None:
        """The file is opened, and made when it is absent, at the first call."""
        self.file = SqliteFile(path)
        self.project = project
        self._clock = clock
        self._account = account or user_name()

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
        rows = await self.file.rows("SELECT count(*) FROM deployments WHERE project = ?", (self.project,))
        return Finding(f"{rows[0][0]} records")

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        return _SqliteRecords(self, environment, apps)

    async def open_intent(self, new: NewIntent) -> Intent:
        def write(db: sqlite3.Connection) -> Intent:
            db.execute(
                "INSERT INTO intents (project, key, environment, payload, creator, created_at, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, key) DO NOTHING",
                (
                    self.project,
                    new.key,
                    new.environment,
                    _json(intent_payload(new, self.project)),
                    self._account,
                    self._now(),
                    State.IN_PROGRESS.value,
                ),
            )
            row = db.execute(
                "SELECT * FROM intents WHERE project = ? AND key = ?", (self.project, new.key)
            ).fetchone()
            return self.intent(row)

        return await self.file.write(write, durable=True)

    async def close_intent(self, intent: Intent, state: State, description: str) -> None:
        await self._change(
            "UPDATE intents SET state = ?, description = ?, finished_at = ? WHERE id = ? AND project = ?",
            (state.value, description, self._now(), intent.id, self.project),
            durable=True,
        )

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        def write(db: sqlite3.Connection) -> Deployment:
            db.execute(
                "INSERT INTO deployments (project, app, environment, sha, payload, promotion, creator,"
                " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (project, promotion, app) DO NOTHING",
                (
                    self.project,
                    new.app,
                    new.environment,
                    new.release.commit,
                    _json(record_payload(new)),
                    intent.id,
                    self._account,
                    self._now(),
                ),
            )
            row = db.execute(
                "SELECT * FROM deployments WHERE project = ? AND promotion = ? AND app = ?",
                (self.project, intent.id, new.app),
            ).fetchone()
            return self.deployment(row)

        return await self.file.write(write, durable=False)

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        await self._change(
            "UPDATE deployments SET state = ?, reached_success = reached_success OR ?"
            " WHERE id = ? AND project = ?",
            (state.value, state is State.SUCCESS, deployment.id, self.project),
            durable=False,
        )

    async def intents(
        self,
        environment: str | None,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Intent], bool] = anything,
    ) -> Sequence[Intent]:
        if environment is None:
            return await self._some(_INTENTS, (self.project,), self.intent, limit, since, where)
        place = self.project, environment
        return await self._some(_INTENTS_OF_ENVIRONMENT, place, self.intent, limit, since, where)

    async def deployments(
        self,
        environment: str,
        app: str,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Deployment], bool] = anything,
    ) -> Sequence[Deployment]:
        place = self.project, environment, app
        return await self._some(_HISTORY, place, self.deployment, limit, since, where)

    async def _some(
        self,
        sql: str,
        place: tuple[str, ...],
        read: Callable[[sqlite3.Row], T],
        limit: int,
        since: datetime | None,
        where: Callable[[T], bool],
    ) -> Sequence[T]:
        """The newest rows that are wanted, read some at a time until there are enough of them."""
        found: list[T] = []
        offset, size = 0, limit if where is anything else max(limit, AT_A_TIME)
        while len(found) < limit and (rows := await self.file.rows(sql, (*place, size, offset))):
            for row in rows:
                one = read(row)
                if len(found) == limit or (since is not None and one.created_at < since):
                    return found
                if where(one):
                    found.append(one)
            offset += size
        return found

    async def account(self) -> str:
        await self.file.rows("SELECT 1", ())
        return self._account

    async def approve(self, environment: str, plan_digest: str, expires_at: datetime) -> Approval:
        row = (self.project, environment, plan_digest, self._account, self._now(), expires_at.isoformat())
        await self._change(_APPROVE, row, durable=True)
        return Approval(self._account, read_moment(row[4]), expires_at)

    async def approvals(self, environment: str, plan_digest: str) -> Sequence[Approval]:
        rows = await self.file.rows(_APPROVALS, (self.project, environment, plan_digest))
        with row_read(self.file.path, f"An approval of {environment}"):
            return [Approval(_text(who), read_moment(at), read_moment(until)) for who, at, until in rows]

    def intent(self, row: sqlite3.Row) -> Intent:
        """A row as an intent. Raises `LiftlockError` for one that liftlock did not write."""
        with row_read(self.file.path, f"Intent {row['id']}"):
            return _intent(row)

    def deployment(self, row: sqlite3.Row) -> Deployment:
        """A row as a record. Raises `LiftlockError` for one that liftlock did not write."""
        with row_read(self.file.path, f"Deployment {row['id']}"):
            return _deployment(row)

    async def _change(self, sql: str, values: Sequence[Any], *, durable: bool) -> None:
        await self.file.write(lambda db: db.execute(sql, values), durable=durable)

    def _now(self) -> str:
        return self._clock.now().isoformat()


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
        rows = await self._ledger.file.rows(_OPEN_INTENTS, (self._ledger.project, self._environment))
        return [self._ledger.intent(row) for row in rows]

    async def _judge(self, app: str) -> Recorded:
        place = (self._ledger.project, self._environment, app)
        current = await self._ledger.file.rows(_CURRENT, place)
        failed = await self._ledger.file.rows(_SINCE, (*place, current[0]["id"] if current else 0))
        return Recorded(
            self._ledger.deployment(current[0]) if current else None,
            tuple(self._ledger.deployment(row) for row in failed),
        )


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))


def _intent(row: sqlite3.Row) -> Intent:
    data = read_intent(row["payload"])
    return Intent(
        id=str(row["id"]),
        kind=data.kind,
        environment=_text(row["environment"]),
        source=data.source,
        plan_digest=data.plan_digest,
        releases=data.releases,
        created_at=read_moment(row["created_at"]),
        creator=_text(row["creator"]),
        state=State(row["state"]),
        description=_text(row["description"]),
        replaced=data.replaced,
        before=data.before,
        reverts=data.reverts,
        overrides=data.overrides,
        undo_on_failure=data.undo_on_failure,
        finished_at=read_moment(row["finished_at"]) if row["finished_at"] else None,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it holds {type(value).__name__} where a text was expected")
    return value


def _deployment(row: sqlite3.Row) -> Deployment:
    data = read_record(row["payload"])
    return Deployment(
        id=str(row["id"]),
        app=_text(row["app"]),
        environment=_text(row["environment"]),
        release=data.release(_text(row["app"]), _text(row["sha"])),
        created_at=read_moment(row["created_at"]),
        creator=_text(row["creator"]),
        state=State(row["state"]) if row["state"] else None,
        reached_success=bool(row["reached_success"]),
        promotion=_text(row["promotion"]),
        kind=data.kind,
        source_environment=data.source_environment,
        replaced=data.replaced,
        backups=data.backups,
        steps=data.steps,
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
