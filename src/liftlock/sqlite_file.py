"""The SQLite file that a project's ledger and leases share: its layout, and how to get at it.

Calls run where they are made, not in a worker thread: they take tens of microseconds, which is what
a thread's hand-over costs, and a thread would let a virtual clock run on while it works. What
could take long, another process's write, is waited for with `anyio.sleep`, never inside SQLite.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project
from liftlock.sql_store import CHANGE_S, Dialect, Statement

T = TypeVar("T")

SQLITE = Dialect(schema="", now=":now", account=":account", hints=True)
"""The indexes are named: without statistics SQLite takes a wider one, and reads more with every record."""
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
    (
        """
        CREATE TABLE leases (
            project TEXT NOT NULL, environment TEXT NOT NULL, number INTEGER NOT NULL,
            holder TEXT NOT NULL, written_at TEXT NOT NULL, record TEXT NOT NULL,
            PRIMARY KEY (project, environment, number)
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE approvals (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, environment TEXT NOT NULL,
            plan TEXT NOT NULL, account TEXT NOT NULL, at TEXT NOT NULL, expires_at TEXT NOT NULL
        )
        """,
        "CREATE INDEX approvals_of_plan ON approvals (project, environment, plan, id)",
    ),
    # What `ledger copy` brings: where it came from, and records that no promotion of ours made.
    (
        "ALTER TABLE intents ADD COLUMN url TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE intents ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
        "CREATE UNIQUE INDEX intents_by_origin ON intents (project, origin) WHERE origin <> ''",
        "ALTER TABLE approvals ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
        "CREATE UNIQUE INDEX approvals_by_origin ON approvals (project, origin) WHERE origin <> ''",
        "ALTER TABLE deployments RENAME TO earlier_deployments",
        "DROP INDEX deployments_of_app",
        "DROP INDEX deployments_that_count",
        """
        CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, app TEXT NOT NULL,
            environment TEXT NOT NULL, sha TEXT NOT NULL, payload TEXT NOT NULL,
            promotion TEXT NOT NULL, creator TEXT NOT NULL, created_at TEXT NOT NULL, state TEXT,
            reached_success INTEGER NOT NULL DEFAULT 0, url TEXT NOT NULL DEFAULT '',
            origin TEXT NOT NULL DEFAULT ''
        )
        """,
        """
        INSERT INTO deployments (id, project, app, environment, sha, payload, promotion, creator,
            created_at, state, reached_success)
        SELECT id, project, app, environment, sha, payload, promotion, creator, created_at, state,
            reached_success FROM earlier_deployments
        """,
        "DROP TABLE earlier_deployments",
        """
        CREATE UNIQUE INDEX deployments_of_promotion ON deployments (project, promotion, app)
        WHERE promotion <> ''
        """,
        "CREATE UNIQUE INDEX deployments_by_origin ON deployments (project, origin) WHERE origin <> ''",
        "CREATE INDEX deployments_of_app ON deployments (project, environment, app, id)",
        """
        CREATE INDEX deployments_that_count ON deployments (project, environment, app, id)
        WHERE reached_success OR state IS NULL
        """,
    ),
    # Whose an entry is, and other tools' records apart from our promotions': what a history asks for.
    (
        "CREATE INDEX intents_by_creator ON intents (project, creator, id)",
        "CREATE INDEX intents_of_environment_by_creator ON intents (project, environment, creator, id)",
        "CREATE INDEX others_of_environment ON deployments (project, environment, id) WHERE promotion = ''",
        "CREATE INDEX others_of_app ON deployments (project, environment, app, id) WHERE promotion = ''",
        "CREATE INDEX others_by_creator ON deployments (project, environment, creator, id) WHERE promotion = ''",
    ),
)
"""What takes a file from each version of its layout to the next; `user_version` counts them.

Only ever add to it: files of every earlier version are in use.
"""


class SqliteFile:
    """`sql_store.Store` in one file, shared by any number of processes of one machine."""

    dialect = SQLITE

    def __init__(self, path: Path) -> None:
        """It is opened, and made when it is absent, at the first call."""
        self.path = path
        self.connection: sqlite3.Connection | None = None

    @property
    def place(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    async def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[sqlite3.Row]:
        """The rows of a query."""

        def query(db: sqlite3.Connection) -> list[sqlite3.Row]:
            return db.execute(sql, values).fetchall()

        return await self._when_free(query)

    async def change(
        self, *statements: Statement, durable: bool = True, limit_s: float = CHANGE_S
    ) -> list[sqlite3.Row]:
        """All of the statements or none of them; the last one's rows. `durable` waits for the disk.

        `limit_s` is kept by `BUSY_S`: what we do ourselves does not wait.
        """

        def work(db: sqlite3.Connection) -> list[sqlite3.Row]:
            rows: list[sqlite3.Row] = []
            for sql, values in statements:
                if isinstance(values, Mapping):
                    rows = db.execute(sql, values).fetchall()
                else:
                    db.executemany(sql, values)
            return rows

        return await self.write(work, durable=durable)

    async def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool) -> T:
        """What `work` gives, done as one change or not at all; `durable` waits for the disk."""

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
                return work(self.connection or self._connect())
            except OSError as error:
                raise self._failure(error) from error
            except sqlite3.Error as error:
                if not _is_busy(error) or anyio.current_time() >= deadline:
                    raise self._failure(error) from error
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _connect(self) -> sqlite3.Connection:
        self.connection = _open(self.path)
        weakref.finalize(self, self.connection.close)  # the last one to leave folds the WAL up
        return self.connection

    def _failure(self, error: Exception) -> LiftlockError:
        hint = (
            "Check that it is a file of liftlock's, that you may write there, and that the disk is not full."
        )
        if _is_busy(error):
            hint = "Another process has been writing to it for long: see which one has it open."
        return LiftlockError(f"The ledger {self.path} cannot be used: {error}.", hint=hint)


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


def user_name() -> str:
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


def files_of(project: Project) -> tuple[Path, ...]:
    """The resolved paths of the ledger's file and of what SQLite keeps beside it; none for a ledger that is no SQLite file."""
    if not project.ledger.startswith("sqlite:"):
        return ()
    path = path_of(project).resolve()
    return path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal"))
