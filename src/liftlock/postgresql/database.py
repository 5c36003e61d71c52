"""The PostgreSQL database that a project's ledger and leases share: sessions, waits and failures.

Nobody's password stands in an address: it is taken from LIFTLOCK_LEDGER_PASSWORD, PGPASSWORD or
~/.pgpass. Whatever is done here may be done again, so a session that breaks is begun anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from liftlock.errors import LiftlockError, Unauthorized, Unreachable, UsageError, VendorFailure, VendorRefusal
from liftlock.http.addresses import is_loopback
from liftlock.model import Project
from liftlock.plugins import Context
from liftlock.postgresql.address import Address, read_address
from liftlock.postgresql.layout import SCHEMA, check_layout
from liftlock.sql_store import CHANGE_S, Dialect, Row, Statement, Values

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

POSTGRESQL = Dialect(
    schema=f"{SCHEMA}.",
    now="clock_timestamp()",
    account="COALESCE(NULLIF(CAST(:account AS text), ''), session_user)",
)
VENDOR = "postgresql"
CONNECT_S = 10
SESSIONS = 4
"""How many a process has at most: what a project asks for takes a millisecond or two."""
PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""How long to wait before each further try: a server that is replaced by another is away for seconds."""


class Database:
    """`sql_store.Store` in a PostgreSQL database."""

    dialect = POSTGRESQL

    def __init__(self, address: Address, environ: Mapping[str, str]) -> None:
        """It is connected to at the first call, and its layout is made where there is none."""
        self.address = address
        self._environ = environ
        self._engine: AsyncEngine | None = None
        self._opening = anyio.Lock()

    @property
    def place(self) -> str:
        return f"{self.address.database} at {self.address.server}"

    async def aclose(self) -> None:
        """End the sessions; the next call begins new ones."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def rows(self, sql: str, values: Values) -> Sequence[Row]:
        async def query(connection: AsyncConnection) -> Sequence[Row]:
            return (await connection.execute(_text(sql), dict(values))).mappings().all()

        return await self.work(query)

    async def change(
        self, *statements: Statement, durable: bool = True, limit_s: float = CHANGE_S
    ) -> Sequence[Row]:
        """PostgreSQL's own setting decides how durable every change is."""

        async def change(connection: AsyncConnection) -> Sequence[Row]:
            rows: Sequence[Row] = ()
            for sql, values in statements:
                if not isinstance(values, Mapping):
                    if values:
                        await connection.execute(_text(sql), [dict(each) for each in values])
                    continue
                result = await connection.execute(_text(sql), dict(values))
                rows = result.mappings().all() if result.returns_rows else ()
            return rows

        return await self.work(change, limit_s)

    async def work(self, work: Callable[[AsyncConnection], Awaitable[T]], limit_s: float = CHANGE_S) -> T:
        """What `work` gives, done in one transaction; again when its session broke. Raises `VendorError`."""
        for pause_s in (*PAUSES_S, None):
            try:
                with anyio.fail_after(limit_s):
                    return await self._work(work)
            except TimeoutError as error:
                raise VendorFailure(
                    f"The ledger {self.place} did not answer within {limit_s:.0f} s.",
                    vendor=VENDOR,
                    hint="Another session may hold what it waits for: look at pg_stat_activity there.",
                ) from error
            except Unreachable:
                if pause_s is None or self._engine is None:  # it never answered: the address may be wrong
                    raise
                await anyio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _work(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        import psycopg
        from sqlalchemy.exc import DBAPIError

        try:
            engine = self._engine or await self._open()
            async with engine.begin() as connection:
                return await work(connection)
        except psycopg.Error as error:  # while a session is begun
            raise self._failure(error, began=False) from error
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.Error):
                raise
            raise self._failure(error.orig, began=not error.connection_invalidated) from error

    async def _open(self) -> AsyncEngine:
        """The sessions, once the layout is the one that this program knows."""
        async with self._opening:
            if self._engine is None:
                engine = self._sessions()
                try:
                    async with engine.begin() as connection:
                        await check_layout(connection, self.place)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
        return self._engine

    def _sessions(self) -> AsyncEngine:
        import psycopg
        from sqlalchemy.ext.asyncio import create_async_engine

        given = self._parameters()

        async def connect() -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(**given)

        return create_async_engine(
            "postgresql+psycopg://", async_creator=connect, pool_size=SESSIONS, max_overflow=0
        )

    def _parameters(self) -> dict[str, Any]:
        """What a session is begun with; what is not given here, libpq takes from its usual places."""
        address, environ = self.address, self._environ
        given: dict[str, Any] = dict(address.settings)
        given |= {"dbname": address.database, "client_encoding": "UTF8", "prepare_threshold": None}
        given.setdefault("application_name", "liftlock")
        given.setdefault("connect_timeout", str(CONNECT_S))
        wanted = {
            "host": address.host,
            "port": address.port,
            "user": address.user or environ.get("PGUSER", ""),
            "password": environ.get("LIFTLOCK_LEDGER_PASSWORD") or environ.get("PGPASSWORD", ""),
        }
        if is_remote(address):
            wanted["sslmode"] = address.settings.get("sslmode") or environ.get("PGSSLMODE") or "require"
        return given | {name: value for name, value in wanted.items() if value}

    def _failure(self, error: psycopg.Error, *, began: bool) -> LiftlockError:
        """Our error for PostgreSQL's, by its class of states (PostgreSQL manual, "Error Codes")."""
        import psycopg

        said = str(error).strip().split("\n")[0]
        state = error.sqlstate or ""
        where = f"The ledger {self.place}"
        if state.startswith("28") or "password authentication failed" in said or "no password" in said:
            return Unauthorized(
                f"{where} does not let us in: {said}",
                vendor=VENDOR,
                code=state,
                hint="Set PGUSER, and LIFTLOCK_LEDGER_PASSWORD, PGPASSWORD or a line in ~/.pgpass.",
            )
        if state == "42501":
            return Unauthorized(
                f"{where} does not allow it: {said}",
                vendor=VENDOR,
                code=state,
                hint="Let its owner grant what docs/how-to/record-in-postgresql.md lists.",
            )
        if state[:2] in {"08", "57"} or state == "40001" or state == "40P01":
            return Unreachable(f"{where} broke off: {said}", vendor=VENDOR, code=state)
        if isinstance(error, psycopg.OperationalError) and (not state or not began):
            return Unreachable(
                f"{where} cannot be reached: {said}",
                vendor=VENDOR,
                code=state,
                hint="Check that it runs, and that this machine may connect to it.",
            )
        if isinstance(error, psycopg.OperationalError):
            return VendorFailure(f"{where} failed: {said}", vendor=VENDOR, code=state)
        return VendorRefusal(f"{where} refused: {said}", vendor=VENDOR, code=state)


@lru_cache(maxsize=256)
def _text(sql: str) -> TextClause:
    from sqlalchemy import text

    return text(sql)


def is_remote(address: Address) -> bool:
    """Whether the way to the database leaves this machine: not by a socket's folder, not by loopback."""
    hosts = [host for host in address.host.split(",") if host and not host.startswith("/")]
    return any(not is_loopback(f"//[{host}]" if ":" in host else f"//{host}") for host in hosts)


def address_of(project: Project) -> Address:
    """The database that `postgresql://HOST/DATABASE` names. Raises `UsageError` for one with a password."""
    address = read_address(project.ledger, "[project] ledger")
    if address.password:
        raise UsageError(
            "[project] ledger holds a password, and everybody who reads the file can read it.",
            hint="Take it out, change it, and set LIFTLOCK_LEDGER_PASSWORD, PGPASSWORD or a line in ~/.pgpass.",
        )
    return address


def shared_database(context: Context) -> Database:
    """The database of a project's ledger, which its leases share. Raises `UsageError` without the extra."""
    if any(find_spec(name) is None for name in ("alembic", "psycopg", "sqlalchemy")):
        raise UsageError(
            "A PostgreSQL ledger needs packages that are not installed.",
            hint="Install them with: pip install 'liftlock[postgresql]'",
        )
    address = address_of(context.project)
    return context.shared.get("postgresql", lambda: Database(address, context.environ))
