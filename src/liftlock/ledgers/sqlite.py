"""The ledger in an SQLite file: for projects without GitHub, and for the embedded default.

Calls run where they are made, not in a worker thread: they take tens of microseconds, which is what
a thread's hand-over costs, and a thread would let a virtual clock run on while it works. What
could take long, another process's write, is waited for with `anyio.sleep`, never inside SQLite.

A commit waits for the disk only where a crash of the machine could lose a truth that nothing
else tells: an intent, and its end. Records in between are carried to the disk by the end's commit;
until then their promotion stands open, and a resume makes what is missing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio

from liftlock.errors import LiftlockError, UsageError
from liftlock.ledgers.payload import intent_payload, read_intent, read_record, record_payload
from liftlock.model import Deployment, Intent, Project, Recorded, Release, State
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, EnvironmentRecords, Ledger, NewDeployment, NewIntent

T = TypeVar("T")

BUSY_S = 20.0
"""How long to wait for other processes' writes before giving up."""
FIRST_WAIT_S = 0.002
LONGEST_WAIT_S = 0.1

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """
        CREATE TABLE intents (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, key TEXT NOT NULL,
            environment TEXT NOT NULL, payload TEXT NOT NULL, creator TEXT NOT NULL,
            created_at TEXT NOT NULL, state TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
            finished_at TEXT, UNIQUE (project, key)
        )
        """,
        "CREATE INDEX intents_of_project ON intents (project, id)",
        "CREATE INDEX intents_of_environment ON intents (project, environment, id)",
        """
        CREATE INDEX open_intents ON intents (project, environment, id)
        WHERE state IN ('in_progress', 'queued', 'pending')
        """,
        """
        CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, app TEXT NOT NULL,
            environment TEXT NOT NULL, sha TEXT NOT NULL, payload TEXT NOT NULL,
            promotion TEXT NOT NULL, creator TEXT NOT NULL, created_at TEXT NOT NULL, state TEXT,
            reached_success INTEGER NOT NULL DEFAULT 0, UNIQUE (project, promotion, app)
        )
        """,
        "CREATE INDEX deployments_of_app ON deployments (project, environment, app, id)",
        """
        CREATE INDEX deployments_that_count ON deployments (project, environment, app, id)
        WHERE reached_success OR state IS NULL
        """,
    ),
)
"""What takes a file from each version of its layout to the next; `user_version` counts them.

Only ever add to it: files of every earlier version are in use.
"""

# The indexes are named: without statistics SQLite takes a wider one, and reads more with every record.
_INTENTS = "SELECT * FROM intents WHERE project = ? ORDER BY id DESC LIMIT ?"
_INTENTS_OF_ENVIRONMENT = """
    SELECT * FROM intents WHERE project = ? AND environment = ? ORDER BY id DESC LIMIT ?
"""
_OPEN_INTENTS = """
    SELECT * FROM intents INDEXED BY open_intents
    WHERE project = ? AND environment = ? AND state IN ('in_progress', 'queued', 'pending') ORDER BY id DESC
"""
_HISTORY = """
    SELECT * FROM deployments INDEXED BY deployments_of_app
    WHERE project = ? AND environment = ? AND app = ? ORDER BY id DESC LIMIT ?
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


class SqliteLedger:
    """`ports.Ledger` on one SQLite file, shared by any number of processes of one machine."""

    name = "sqlite"
    concurrency = 64

    def __init__(self, path: Path, project: str, clock: Clock, account: str = "") -> None:
        """The file is opened, and made when it is absent, at the first call."""
        self.path = path
        self.project = project
        self._clock = clock
        self._account = account or _user_name()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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
            return _intent(row)

        return await self._write(write, durable=True)

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
            return _deployment(row)

        return await self._write(write, durable=False)

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        await self._change(
            "UPDATE deployments SET state = ?, reached_success = reached_success OR ?"
            " WHERE id = ? AND project = ?",
            (state.value, state is State.SUCCESS, deployment.id, self.project),
            durable=False,
        )

    async def intents(self, environment: str | None, limit: int) -> Sequence[Intent]:
        if environment is None:
            rows = await self.rows(_INTENTS, (self.project, limit))
        else:
            rows = await self.rows(_INTENTS_OF_ENVIRONMENT, (self.project, environment, limit))
        return [_intent(row) for row in rows]

    async def deployments(self, environment: str, app: str, limit: int) -> Sequence[Deployment]:
        rows = await self.rows(_HISTORY, (self.project, environment, app, limit))
        return [_deployment(row) for row in rows]

    async def account(self) -> str:
        await self.rows("SELECT 1", ())
        return self._account

    async def rows(self, sql: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        """The rows of a query."""

        def query(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute(sql, values).fetchall()

        return await self._when_free(query)

    async def _change(self, sql: str, values: Sequence[Any], *, durable: bool) -> None:
        await self._write(lambda db: db.execute(sql, values), durable=durable)

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool) -> T:
        def transaction(db: sqlite3.Connection) -> T:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with _immediate(db):
                return work(db)

        return await self._when_free(transaction)

    async def _when_free(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, waiting while another process writes."""
        deadline = anyio.current_time() + BUSY_S
        wait = FIRST_WAIT_S
        while True:
            try:
                return work(self._connection or self._connect())
            except OSError as error:
                raise self._failure(error) from error
            except sqlite3.Error as error:
                if not _is_busy(error) or anyio.current_time() >= deadline:
                    raise self._failure(error) from error
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _connect(self) -> sqlite3.Connection:
        self._connection = _open(self.path)
        weakref.finalize(self, self._connection.close)  # the last one to leave folds the WAL up
        return self._connection

    def _failure(self, error: Exception) -> LiftlockError:
        hint = (
            "Check that it is a file of liftlock's, that you may write there, and that the disk is not full."
        )
        if _is_busy(error):
            hint = "Another process has been writing to it for long: see which one has it open."
        return LiftlockError(f"The ledger {self.path} cannot be used: {error}.", hint=hint)

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

    async def open_intents(self) -> Sequence[Intent]:
        rows = await self._ledger.rows(_OPEN_INTENTS, (self._ledger.project, self._environment))
        return [_intent(row) for row in rows]

    async def _judge(self, app: str) -> Recorded:
        place = (self._ledger.project, self._environment, app)
        current = await self._ledger.rows(_CURRENT, place)
        failed = await self._ledger.rows(_SINCE, (*place, current[0]["id"] if current else 0))
        return Recorded(
            _deployment(current[0]) if current else None, tuple(_deployment(row) for row in failed)
        )


def _open(path: Path) -> sqlite3.Connection:
    """A connection with the newest layout. Raises `UsageError` for a file of a newer liftlock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        if _version(db) < len(MIGRATIONS):
            _migrate(db)
        if _version(db) > len(MIGRATIONS):
            raise UsageError(
                f"The ledger {path} was written by a newer liftlock (layout {_version(db)}; this one knows "
                f"{len(MIGRATIONS)}).",
                hint="Install the version that the others use: `pip install --upgrade liftlock`.",
            )
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the layout forward; of several processes, the first one does it."""
    with _immediate(db):
        done = _version(db)
        for statements in MIGRATIONS[done:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {max(done, len(MIGRATIONS))}")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextmanager
def _immediate(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that has its right to write from the beginning: it never fails half-way for it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _is_busy(error: Exception) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))


def _intent(row: sqlite3.Row) -> Intent:
    data = read_intent(row["payload"])
    return Intent(
        id=str(row["id"]),
        kind=data.kind,
        environment=row["environment"],
        source=data.source,
        plan_digest=data.plan_digest,
        releases=data.releases,
        created_at=datetime.fromisoformat(row["created_at"]),
        creator=row["creator"],
        state=State(row["state"]),
        description=row["description"],
        replaced=data.replaced,
        before=data.before,
        reverts=data.reverts,
        overrides=data.overrides,
        undo_on_failure=data.undo_on_failure,
        finished_at=datetime.fromisoformat(row["finished_at"]) if row["finished_at"] else None,
    )


def _deployment(row: sqlite3.Row) -> Deployment:
    data = read_record(row["payload"])
    return Deployment(
        id=str(row["id"]),
        app=row["app"],
        environment=row["environment"],
        release=Release(row["app"], row["sha"], data.artifacts),
        created_at=datetime.fromisoformat(row["created_at"]),
        creator=row["creator"],
        state=State(row["state"]) if row["state"] else None,
        reached_success=bool(row["reached_success"]),
        promotion=row["promotion"],
        kind=data.kind,
        source_environment=data.source_environment,
        replaced=data.replaced,
        backups=data.backups,
    )


def _user_name() -> str:
    """Who runs this, as the operating system has it (not as a variable says it)."""
    import pwd  # only POSIX has it

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"uid {os.getuid()}"


def path_of(project: Project) -> Path:
    """The file that `sqlite:///relative` or `sqlite:////absolute` names."""
    scheme, _, path = project.ledger.partition(":///")
    if scheme != "sqlite" or not path:
        raise UsageError(
            f"{project.ledger!r} does not name an SQLite ledger.",
            hint='Write [project] ledger = "sqlite:///liftlock.db" (from the file\'s folder), or four '
            "slashes for an absolute path.",
        )
    return Path(project.root) / path


def _build(context: Context) -> Ledger:
    return SqliteLedger(path_of(context.project), context.project.name, context.clock)


plugin: Plugin[Ledger] = Plugin("sqlite", _build)
