"""The ledger in a PostgreSQL database, for any number of machines and people.

Times are the database's own. Whoever writes is who the database knows them as (`session_user`),
unless a server acts for somebody that it signed in itself. One query tells all of an environment's
current records, whatever the number of its apps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.ledgers.current import judged
from liftlock.ledgers.sql import SHOWN
from liftlock.ledgers.sql_copies import CopyingSqlLedger
from liftlock.model import Deployment, Intent, Recorded
from liftlock.plugins import Context, Plugin
from liftlock.ports import Clock, EnvironmentRecords, Ledger
from liftlock.postgresql.database import Database, shared_database
from liftlock.probes import Finding, Probe
from liftlock.tasks import Once

_SINCE_CURRENT = """
    SELECT found.* FROM unnest(CAST(:apps AS text[])) AS wanted (app)
    CROSS JOIN LATERAL (
        SELECT * FROM $deployments
        WHERE project = :project AND environment = :environment AND app = wanted.app AND id >= COALESCE((
            SELECT id FROM $deployments
            WHERE project = :project AND environment = :environment AND app = wanted.app
            AND (reached_success OR state IS NULL) ORDER BY id DESC LIMIT 1
        ), 0)
    ) AS found ORDER BY found.id DESC
"""
_NEWEST = """
    SELECT found.* FROM unnest(CAST(:apps AS text[])) AS wanted (app)
    CROSS JOIN LATERAL (
        SELECT * FROM $deployments
        WHERE project = :project AND environment = :environment AND app = wanted.app
        ORDER BY id DESC LIMIT :most
    ) AS found ORDER BY found.id DESC
"""
_RESERVE = """
    SELECT nextval(pg_get_serial_sequence(CAST(:table AS text), 'id')) AS number
    FROM generate_series(1, CAST(:count AS integer))
"""


class PostgresqlLedger(CopyingSqlLedger):
    """`ports.Ledger` in one database, which projects may share."""

    name = "postgresql"

    def __init__(self, database: Database, project: str, clock: Clock, account: str = "") -> None:
        """`account` is whom we act for; "" for the role that we are in the database."""
        super().__init__(database, project, clock, account)

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        return [Probe("PostgreSQL ledger", self.store.place, self._probe)]

    async def _probe(self) -> Finding:
        return Finding(f"{await self.count()} records; we are {await self.account()} there")

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        return _PostgresqlRecords(self, environment, apps)

    async def reserve(self, table: str, count: int) -> Sequence[int]:
        where = {"table": f"{self.store.dialect.schema}{table}", "count": count}
        return sorted(row["number"] for row in await self.store.rows(_RESERVE, where))

    async def by_app(self, sql: str, environment: str, apps: Sequence[str]) -> Mapping[str, list[Deployment]]:
        """An environment's records that a query finds, newest first, by app."""
        values = {"project": self.project, "environment": environment, "apps": list(apps), "most": SHOWN}
        found: dict[str, list[Deployment]] = {app: [] for app in apps}
        for row in await self.store.rows(self.sql(sql), values):
            record = self.deployment(row)
            found[record.app].append(record)
        return found


class _PostgresqlRecords:
    """One environment's records: a query for the current ones, one for those that stand open, one for earlier ones."""

    def __init__(self, ledger: PostgresqlLedger, environment: str, apps: Sequence[str]) -> None:
        self._ledger = ledger
        self._environment = environment
        self._since_current = Once(lambda: ledger.by_app(_SINCE_CURRENT, environment, apps))
        self._earlier = Once(lambda: ledger.by_app(_NEWEST, environment, apps))

    async def newest(self) -> Mapping[str, Deployment]:
        return {app: records[0] for app, records in (await self._since_current()).items() if records}

    async def recorded(self) -> Mapping[str, Recorded]:
        return {app: judged(records) for app, records in (await self._since_current()).items()}

    async def earlier(self) -> Mapping[str, Sequence[Deployment]]:
        return await self._earlier()

    async def open_intents(self) -> Sequence[Intent]:
        return await self._ledger.open_intents(self._environment)


def _build(context: Context) -> Ledger:
    return PostgresqlLedger(shared_database(context), context.project.name, context.clock, context.acting_for)


plugin: Plugin[Ledger] = Plugin("postgresql", _build)
