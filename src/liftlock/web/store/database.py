"""One database, SQLite or PostgreSQL, reached without holding up the event loop.

SQLAlchemy is used as it is, in worker threads: the same code for both databases, and no second
driver for either. A thread is handed over to in some 100 µs, which a page can spare.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project

T = TypeVar("T")

BUSY_S = 20
"""How long to wait for another process's write to a file before giving up."""
THREADS = 8
"""How many calls are under way at once in one process; the pool has as many connections."""


class StoreUnreachable(LiftlockError):
    """The server's own database does not answer."""


class Store:
    """The server's own database. Made by `open_store`."""

    def __init__(self, engine: Engine, address: str) -> None:
        self.engine = engine
        self.address = address
        """The address as SQLAlchemy reads it, without a password."""
        self._writing = engine.execution_options(writes=True)
        self._threads = anyio.CapacityLimiter(1 if isinstance(engine.pool, StaticPool) else THREADS)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` reads. It is run in a thread, with a connection of its own."""

        def reading() -> T:
            with self.engine.connect() as connection:
                return work(connection)

        return await self._in_thread(reading)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, done as one change or not at all."""

        def writing() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        return await self._in_thread(writing)

    async def answers(self) -> bool:
        """Whether the database can be asked."""
        try:
            await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        except LiftlockError:
            return False
        return True

    def close(self) -> None:
        self.engine.dispose()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        except OperationalError as error:
            raise unreachable(self.address, error) from error


@asynccontextmanager
async def open_store(address: str) -> AsyncIterator[Store]:
    """The database at `address`, brought to the newest layout first. Raises `LiftlockError`.

    Any number of processes may open it at once: one of them migrates, the others wait for it.
    """
    from liftlock.web.store.migrate import migrate

    store = Store(engine_at(address), safe(address))
    try:
        await anyio.to_thread.run_sync(migrate, store.engine)
        yield store
    except OperationalError as error:
        raise unreachable(store.address, error) from error
    finally:
        store.close()


def address_of(project: Project, environ: Mapping[str, str] = os.environ) -> str:
    """Where the project's server keeps its own data: what `[serve] database` says, or the user's state folder.

    A relative file is looked for where `liftlock.toml` is.
    """
    said = project.serve.database
    if not said:
        base = Path(environ.get("XDG_STATE_HOME", ""))
        if not base.is_absolute():
            base = Path(environ.get("HOME") or Path.home(), ".local", "state")
        return f"sqlite:///{base / 'liftlock' / project.name / 'serve.db'}"
    if said.startswith("sqlite:///") and not said.startswith("sqlite:////"):
        return f"sqlite:///{Path(project.root).absolute() / said.removeprefix('sqlite:///')}"
    return said


def engine_at(address: str) -> Engine:
    """SQLAlchemy's engine for an address. Raises `UsageError` for one that is none."""
    try:
        url = make_url(address)
    except SQLAlchemyError:
        raise UsageError(
            "The address of the server's database cannot be read.",
            hint='Write [serve] database = "sqlite:///serve.db" or "postgresql://HOST/DATABASE".',
        ) from None
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            make_file(Path(url.database))
            engine = create_engine(url, pool_size=THREADS, max_overflow=0, connect_args={"timeout": BUSY_S})
        else:  # in memory, for tests: it is gone with its one connection
            engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=THREADS,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "liftlock serve"},
        )
    raise UsageError(
        f"The server's own database cannot be {url.get_backend_name()}.",
        hint='Write [serve] database = "sqlite:///serve.db" or "postgresql://HOST/DATABASE".',
    )


def safe(address: str) -> str:
    """An address as it may be shown: a password is left out, and so is whatever else the query holds."""
    return make_url(address).set(query={}).render_as_string(hide_password=True)


def unreachable(address: str, error: OperationalError) -> StoreUnreachable:
    reason = str(error.orig or error).strip().partition("\n")[0]
    return StoreUnreachable(
        f"The server's database at {address} does not answer: {reason}.",
        hint="Start it, or mend [serve] database; what is under way in promotions does not depend on it.",
    )


def make_file(path: Path) -> None:
    """Make the file, where there is none, so that nobody but its owner can read it. Raises `UsageError`.

    One that is there is not opened: to close it would let go of the locks that SQLite has on it in this process
    (POSIX, fcntl), and the next process that closes it would take its write-ahead log away as the last one of all.
    Source: SQLite, "How To Corrupt An SQLite Database File", section 2.2.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise UsageError(
            f"The server's database {path} cannot be made: {error.strerror}.",
            hint="Name another place: [serve] database.",
        ) from error


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Transactions are begun by `_begin_sqlite`: the driver's own way begins them late and never for reads.
    connection.isolation_level = None
    cursor = connection.cursor()
    _begin_wal(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_wal(cursor: sqlite3.Cursor) -> None:
    """Let a new file have a write-ahead log. SQLite itself does not wait here for another that writes, so we do."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once where another wrote between. Those that
    # write take the file's one lock at their beginning, and wait for it.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _is_writing(connection) else "BEGIN")


def _is_writing(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes"))
