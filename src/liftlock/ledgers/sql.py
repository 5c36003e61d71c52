"""What the SQL ledgers share: their statements, how their rows are read, and all that is done with them.

Only how an environment's records are read differs: a file is asked once for each app, a server once
for all.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

from anyio.lowlevel import checkpoint

from liftlock.ledgers.payload import intent_payload, read_intent, read_record, record_payload
from liftlock.model import Approval, Deployment, Intent, State, is_by
from liftlock.ports import Clock, EnvironmentRecords, NewDeployment, NewIntent, PromotionRecords, anything
from liftlock.sql_store import Row, Store, moment_of, row_read, text_of

INTENTS = """
    SELECT * FROM $intents $by_intents_of_project
    WHERE project = :project AND id < :before AND created_at < :until ORDER BY id DESC LIMIT :most
"""
INTENTS_BY = """
    SELECT * FROM $intents $by_intents_by_creator
    WHERE project = :project AND creator = :creator AND id < :before AND created_at < :until
    ORDER BY id DESC LIMIT :most
"""
INTENTS_OF_ENVIRONMENT = """
    SELECT * FROM $intents $by_intents_of_environment
    WHERE project = :project AND environment = :environment AND id < :before AND created_at < :until
    ORDER BY id DESC LIMIT :most
"""
INTENTS_OF_ENVIRONMENT_BY = """
    SELECT * FROM $intents $by_intents_of_environment_by_creator
    WHERE project = :project AND environment = :environment AND creator = :creator AND id < :before
    AND created_at < :until ORDER BY id DESC LIMIT :most
"""
CREATORS = """
    WITH RECURSIVE people (creator) AS (
        SELECT min(creator) FROM $intents $by_intents_by_creator WHERE project = :project
        UNION ALL
        SELECT (
            SELECT min(creator) FROM $intents $by_intents_by_creator
            WHERE project = :project AND creator > people.creator
        ) FROM people WHERE creator IS NOT NULL
    )
    SELECT creator FROM people WHERE creator IS NOT NULL
"""
OTHERS = """
    SELECT * FROM $deployments $by_others_of_environment
    WHERE project = :project AND environment = :environment AND promotion = '' AND id < :before
    AND created_at < :until ORDER BY id DESC LIMIT :most
"""
OTHERS_OF_APP = """
    SELECT * FROM $deployments $by_others_of_app
    WHERE project = :project AND environment = :environment AND app = :app AND promotion = ''
    AND id < :before AND created_at < :until ORDER BY id DESC LIMIT :most
"""
OTHERS_OF_APP_BY = """
    SELECT * FROM $deployments $by_others_of_app
    WHERE project = :project AND environment = :environment AND app = :app AND creator = :creator
    AND promotion = '' AND id < :before AND created_at < :until ORDER BY id DESC LIMIT :most
"""
OTHERS_BY = """
    SELECT * FROM $deployments $by_others_by_creator
    WHERE project = :project AND environment = :environment AND creator = :creator AND promotion = ''
    AND id < :before AND created_at < :until ORDER BY id DESC LIMIT :most
"""
OTHERS_CREATORS = """
    WITH RECURSIVE people (creator) AS (
        SELECT min(creator) FROM $deployments $by_others_by_creator
        WHERE project = :project AND environment = :environment AND promotion = ''
        UNION ALL
        SELECT (
            SELECT min(creator) FROM $deployments $by_others_by_creator
            WHERE project = :project AND environment = :environment AND promotion = ''
            AND creator > people.creator
        ) FROM people WHERE creator IS NOT NULL
    )
    SELECT creator FROM people WHERE creator IS NOT NULL
"""
INTENT = "SELECT * FROM $intents WHERE id = :id AND project = :project"
DEPLOYMENT = "SELECT * FROM $deployments WHERE id = :id AND project = :project"
OPEN_INTENTS = """
    SELECT * FROM $intents $by_open_intents
    WHERE project = :project AND environment = :environment AND state IN ('in_progress', 'queued', 'pending')
    ORDER BY id DESC
"""
OPEN_INTENT = """
    INSERT INTO $intents (project, key, environment, payload, creator, created_at, state)
    VALUES (:project, :key, :environment, :payload, $account, $now, 'in_progress')
    ON CONFLICT (project, key) DO NOTHING
"""
INTENT_OF_KEY = "SELECT * FROM $intents WHERE project = :project AND key = :key"
CLOSE_INTENT = """
    UPDATE $intents SET state = :state, description = :description, finished_at = $now
    WHERE id = :id AND project = :project
"""
HISTORY = """
    SELECT * FROM $deployments $by_deployments_of_app
    WHERE project = :project AND environment = :environment AND app = :app AND id < :before
    AND created_at < :until ORDER BY id DESC LIMIT :most
"""
RECORD = """
    INSERT INTO $deployments (project, app, environment, sha, payload, promotion, creator, created_at)
    VALUES (:project, :app, :environment, :sha, :payload, :promotion, $account, $now)
    ON CONFLICT (project, promotion, app) WHERE promotion <> '' DO NOTHING
"""
RECORD_OF_PROMOTION = """
    SELECT * FROM $deployments WHERE project = :project AND promotion = :promotion AND app = :app
    AND promotion <> ''
"""
RECORDS_OF_PROMOTION = """
    SELECT * FROM $deployments $by_deployments_of_promotion
    WHERE project = :project AND promotion = :promotion AND promotion <> ''
"""
RECORDS = "SELECT * FROM $deployments WHERE project = :project AND id IN ({numbers})"
MARK = """
    UPDATE $deployments SET state = :state, reached_success = reached_success OR :succeeded
    WHERE id = :id AND project = :project
"""
APPROVE = """
    INSERT INTO $approvals (project, environment, plan, account, at, expires_at)
    SELECT :project, :environment, :plan, $account, $now, :expires_at
    WHERE NOT EXISTS (
        SELECT 1 FROM $approvals
        WHERE project = :project AND environment = :environment AND plan = :plan AND account = $account
        AND expires_at = :expires_at
    )
"""
APPROVALS = """
    SELECT account, at, expires_at FROM $approvals
    WHERE project = :project AND environment = :environment AND plan = :plan ORDER BY id DESC
"""
ACCOUNT = "SELECT $account AS account"
COUNT = "SELECT count(*) AS records FROM $deployments WHERE project = :project"

LAST = 2**63 - 1
"""No row has a higher number."""
MOST_DIGITS = 18
"""No row's number has more digits."""
NEVER = datetime.max.replace(tzinfo=UTC)
BREATH = 50
"""After how many rows others get their turn: to read one takes as long as a small answer does."""
AT_A_TIME = 100
"""How many rows are read at once where not each of them is wanted."""
FEW, MOST_AT_ONCE = 16, 1000
"""How many rows are read first where only those since a moment are wanted, and how many at once at most."""
SHOWN = 20
"""How many of an app's newest records are shown beside the newest one."""

T = TypeVar("T", Intent, Deployment)


class SqlLedger(ABC):
    """`ports.Ledger` on a store of rows."""

    concurrency = 64

    def __init__(self, store: Store, project: str, clock: Clock, account: str) -> None:
        self.store = store
        self.project = project
        self._clock = clock
        self._account = account
        """Whom we act for; "" for whoever the store knows us as."""

    @abstractmethod
    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        """See `ports.Ledger.read`."""

    async def open_intent(self, new: NewIntent) -> Intent:
        values = self._values(
            key=new.key, environment=new.environment, payload=json_of(intent_payload(new, self.project))
        )
        find = self.sql(INTENT_OF_KEY), self._values(key=new.key)
        (row,) = await self.store.change((self.sql(OPEN_INTENT), values), find)
        return self.intent(row)

    async def close_intent(self, intent: Intent, state: State, description: str) -> None:
        values = self._values(id=int(intent.id), state=state.value, description=description)
        await self.store.change((self.sql(CLOSE_INTENT), values))

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        values = self._values(
            app=new.app,
            environment=new.environment,
            sha=new.release.commit,
            payload=json_of(record_payload(new)),
            promotion=intent.id,
        )
        find = self.sql(RECORD_OF_PROMOTION), self._values(promotion=intent.id, app=new.app)
        (row,) = await self.store.change((self.sql(RECORD), values), find, durable=False)
        return self.deployment(row)

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        values = self._values(id=int(deployment.id), state=state.value, succeeded=state is State.SUCCESS)
        await self.store.change((self.sql(MARK), values), durable=False)

    async def intents(
        self,
        environment: str | None,
        limit: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str = "",
        where: Callable[[Intent], bool] = anything,
    ) -> Sequence[Intent]:
        sql = INTENTS if environment is None else INTENTS_OF_ENVIRONMENT
        place = {} if environment is None else {"environment": environment}
        if not by:
            return await self._some(sql, place, self.intent, limit, since, where, until)
        sql = INTENTS_BY if environment is None else INTENTS_OF_ENVIRONMENT_BY
        found = [
            await self._some(sql, place | {"creator": creator}, self.intent, limit, since, where, until)
            for creator in await self._creators(CREATORS, {}, by)
        ]
        return _newest(found, limit)

    async def deployments(
        self,
        environment: str,
        app: str,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Deployment], bool] = anything,
    ) -> Sequence[Deployment]:
        place = {"environment": environment, "app": app}
        return await self._some(HISTORY, place, self.deployment, limit, since, where)

    async def intent_of(self, id_: str) -> Intent | None:
        return next(map(self.intent, await self._row_of(INTENT, id_)), None)

    async def deployment_of(self, id_: str) -> Deployment | None:
        return next(map(self.deployment, await self._row_of(DEPLOYMENT, id_)), None)

    async def _row_of(self, sql: str, id_: str) -> Sequence[Row]:
        """The row of that number, or none."""
        number = _number(id_)
        return () if number is None else await self.store.rows(self.sql(sql), self._values(id=number))

    async def records_of(self, intent: Intent, apps: Sequence[str]) -> PromotionRecords:
        rows = await self.store.rows(self.sql(RECORDS_OF_PROMOTION), self._values(promotion=intent.id))
        made = {record.app: record for record in map(self.deployment, rows)}
        known = (_number(intent.replaced[app]) for app in apps if app in intent.replaced)
        numbers = {f"n{place}": number for place, number in enumerate(known) if number is not None}
        sql = RECORDS.format(numbers=", ".join(f":{name}" for name in numbers))
        rows = await self.store.rows(self.sql(sql), self._values(**numbers)) if numbers else ()
        replaced = {record.app: record for record in map(self.deployment, rows)}
        return PromotionRecords(*({a: of[a] for a in apps if a in of} for of in (made, replaced)))

    async def others(
        self,
        environment: str,
        apps: Sequence[str],
        limit: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str = "",
    ) -> Sequence[Deployment]:
        known = frozenset(apps)
        place = {"environment": environment}
        one = {"app": apps[0]} if len(apps) == 1 else {}

        async def look(sql: str, **creator: str) -> Sequence[Deployment]:
            values = place | one | creator
            return await self._some(
                sql, values, self.deployment, limit, since, lambda d: d.app in known, until
            )

        if not by:
            return await look(OTHERS_OF_APP if one else OTHERS)
        sql, creators = (
            OTHERS_OF_APP_BY if one else OTHERS_BY,
            await self._creators(OTHERS_CREATORS, place, by),
        )
        return _newest([await look(sql, creator=creator) for creator in creators], limit)

    async def _creators(self, sql: str, place: Mapping[str, str], by: str) -> list[str]:
        """Under which names somebody's entries stand there: with each server that acted for them."""
        rows = await self.store.rows(self.sql(sql), {"project": self.project, **place})
        return [creator for row in rows if is_by(creator := text_of(row["creator"]), by)]

    async def _some(
        self,
        sql: str,
        place: Mapping[str, str],
        read: Callable[[Row], T],
        limit: int,
        since: datetime | None,
        where: Callable[[T], bool],
        until: datetime | None = None,
    ) -> Sequence[T]:
        """The newest rows that are wanted, read some at a time until there are enough of them."""
        found: list[T] = []
        before_then = self.stored((until or NEVER).astimezone(UTC))
        before, size = LAST, limit if where is anything else max(limit, AT_A_TIME)
        if since is not None:  # how far back that reaches is not known: often it is a few rows of very many
            size = min(size, FEW)
        while len(found) < limit:
            values = self._values(**place, before=before, until=before_then, most=size)
            rows = await self.store.rows(self.sql(sql), values)
            for number, row in enumerate(rows, 1):
                if number % BREATH == 0:
                    await checkpoint()
                one = read(row)
                if len(found) == limit or (since is not None and one.created_at < since):
                    return found
                if where(one):
                    found.append(one)
            if len(rows) < size:
                break
            before, size = rows[-1]["id"], min(4 * size, max(limit, AT_A_TIME), MOST_AT_ONCE)
        return found

    async def account(self) -> str:
        (row,) = await self.store.rows(self.sql(ACCOUNT), {"account": self._account})
        return str(row["account"])

    async def approve(self, environment: str, plan_digest: str, expires_at: datetime) -> Approval:
        place = {"environment": environment, "plan": plan_digest}
        new = self._values(**place, expires_at=self.stored(expires_at))
        find = self.sql(APPROVALS), self._values(**place)
        rows = await self.store.change((self.sql(APPROVE), new), find)
        mine = await self.account()
        given = (self.approval(row, environment) for row in rows)
        return next(a for a in given if (a.account, a.expires_at) == (mine, expires_at))

    async def approvals(self, environment: str, plan_digest: str) -> Sequence[Approval]:
        values = self._values(environment=environment, plan=plan_digest)
        rows = await self.store.rows(self.sql(APPROVALS), values)
        return [self.approval(row, environment) for row in rows]

    async def open_intents(self, environment: str) -> Sequence[Intent]:
        """The promotions that stand open in an environment, newest first."""
        rows = await self.store.rows(self.sql(OPEN_INTENTS), self._values(environment=environment))
        return [self.intent(row) for row in rows]

    async def count(self) -> int:
        """How many records the project has."""
        (row,) = await self.store.rows(self.sql(COUNT), self._values())
        return int(row["records"])

    # Rows as liftlock's nouns.

    def intent(self, row: Row) -> Intent:
        """A row as an intent. Raises `LiftlockError` for one that liftlock did not write."""
        with row_read(self.store.place, f"Intent {row['id']}"):
            return _intent(row)

    def deployment(self, row: Row) -> Deployment:
        """A row as a record. Raises `LiftlockError` for one that liftlock did not write."""
        with row_read(self.store.place, f"Deployment {row['id']}"):
            return _deployment(row)

    def approval(self, row: Row, environment: str) -> Approval:
        """A row as an approval. Raises `LiftlockError` for one that liftlock did not write."""
        with row_read(self.store.place, f"An approval of {environment}"):
            return Approval(text_of(row["account"]), moment_of(row["at"]), moment_of(row["expires_at"]))

    def stored(self, moment: datetime) -> Any:
        """A moment as the store takes it."""
        return moment

    def sql(self, text: str) -> str:
        return self.store.dialect.sql(text)

    def _values(self, **values: Any) -> dict[str, Any]:
        """The values of a statement, with those that any of them may ask for."""
        now = self._clock.now().isoformat()
        return {"project": self.project, "account": self._account, "now": now, **values}


def _newest(found: Sequence[Sequence[T]], limit: int) -> list[T]:
    """The newest of several lists, each newest first."""
    return list(islice(merge(*found, key=lambda one: int(one.id), reverse=True), limit))


def _number(id_: str) -> int | None:
    """A row's number; None for an id of another ledger, which may be anything."""
    return int(id_) if id_.isascii() and id_.isdecimal() and len(id_) <= MOST_DIGITS else None


def json_of(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))


def _intent(row: Row) -> Intent:
    data = read_intent(row["payload"])
    return Intent(
        id=str(row["id"]),
        kind=data.kind,
        environment=text_of(row["environment"]),
        source=data.source,
        plan_digest=data.plan_digest,
        releases=data.releases,
        created_at=moment_of(row["created_at"]),
        creator=text_of(row["creator"]),
        state=State(row["state"]),
        description=text_of(row["description"]),
        replaced=data.replaced,
        before=data.before,
        reverts=data.reverts,
        overrides=data.overrides,
        key=data.key,
        undo_on_failure=data.undo_on_failure,
        finished_at=moment_of(row["finished_at"]) if row["finished_at"] else None,
        url=text_of(row["url"]),
    )


def _deployment(row: Row) -> Deployment:
    data = read_record(row["payload"])
    return Deployment(
        id=str(row["id"]),
        app=text_of(row["app"]),
        environment=text_of(row["environment"]),
        release=data.release(text_of(row["app"]), text_of(row["sha"])),
        created_at=moment_of(row["created_at"]),
        creator=text_of(row["creator"]),
        state=State(row["state"]) if row["state"] else None,
        reached_success=bool(row["reached_success"]),
        promotion=text_of(row["promotion"]),
        kind=data.kind,
        source_environment=data.source_environment,
        replaced=data.replaced,
        backups=data.backups,
        steps=data.steps,
        awake=data.awake,
        url=text_of(row["url"]),
    )
