"""Copies of ledgers into SQL: all of what is brought, or none of it, and each entry only once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from liftlock.errors import UsageError
from liftlock.ledgers.copied import Renamed, moved, same
from liftlock.ledgers.sql import SqlLedger
from liftlock.ports import Entry
from liftlock.sql_store import Row, Statement, moment_of, row_read, text_of

TABLES = {"intent": "intents", "deployment": "deployments", "approval": "approvals"}
COPY_S = 3600.0
"""How long a copy may take, in seconds."""

ALL = "SELECT * FROM ${table} WHERE project = :project ORDER BY id"
ORIGINS = "SELECT id, origin FROM ${table} WHERE project = :project"
PUT = {
    "intent": """
        INSERT INTO $intents (id, project, key, environment, payload, creator, created_at, state, description,
            finished_at, url, origin)
        VALUES (:id, :project, :key, :environment, :payload, :creator, :created_at, :state, :description,
            :finished_at, :url, :origin)
    """,
    "deployment": """
        INSERT INTO $deployments (id, project, app, environment, sha, payload, promotion, creator, created_at,
            state, reached_success, url, origin)
        VALUES (:id, :project, :app, :environment, :sha, :payload, :promotion, :creator, :created_at, :state,
            :reached_success, :url, :origin)
    """,
    "approval": """
        INSERT INTO $approvals (id, project, environment, plan, account, at, expires_at, origin)
        VALUES (:id, :project, :environment, :plan, :creator, :created_at, :expires_at, :origin)
    """,
}
MEND = {
    "intent": """
        UPDATE $intents SET state = :state, description = :description, finished_at = :finished_at
        WHERE id = :id AND project = :project
    """,
    "deployment": """
        UPDATE $deployments SET state = :state, reached_success = :reached_success
        WHERE id = :id AND project = :project
    """,
}


class CopyingSqlLedger(SqlLedger):
    """An SQL ledger that others can be copied from and into."""

    @abstractmethod
    async def reserve(self, table: str, count: int) -> Sequence[int]:
        """So many numbers that no row of a table has or will be given, ascending."""

    async def entries(self) -> Sequence[Entry]:
        """See `ports.Exporting`."""
        found: list[Entry] = []
        for kind, table in TABLES.items():
            rows = await self.store.rows(self._table(ALL, table), {"project": self.project})
            for row in rows:
                with row_read(self.store.place, f"{kind.capitalize()} {row['id']}"):
                    found.append(_READERS[kind](row))
        return found

    async def differing(self, entries: Sequence[Entry], origin: str) -> Sequence[Entry]:
        """See `ports.Importing`."""
        ids = await self._known(origin)
        here = {(entry.kind, entry.id): entry for entry in await self.entries()}
        renamed = _renaming(ids, origin)
        return [
            entry
            for entry in entries
            if (found := here.get((entry.kind, ids.get((entry.kind, entry.id), "")))) is None
            or not same(moved(entry, renamed), found)
        ]

    async def put(self, entries: Sequence[Entry], origin: str) -> None:
        """See `ports.Importing`."""
        known = await self._known(origin)
        ids = {**known}
        by_kind = {
            kind: sorted(group, key=lambda entry: (entry.created_at, int(entry.id)))
            for kind, group in groupby(
                sorted(entries, key=lambda entry: entry.kind), lambda entry: entry.kind
            )
        }
        for kind, group in by_kind.items():
            new = [entry for entry in group if (kind, entry.id) not in known]
            numbers = await self.reserve(TABLES[kind], len(new)) if new else ()
            ids |= {(kind, entry.id): str(number) for entry, number in zip(new, numbers, strict=True)}
        renamed = _renaming(ids, origin)
        statements: list[Statement] = []
        for kind, group in by_kind.items():
            rows = [
                self._columns(moved(entry, renamed), ids[kind, entry.id], f"{origin}#{entry.id}")
                for entry in group
                if (kind, entry.id) not in known
            ]
            statements.append((self.sql(PUT[kind]), rows))
            if kind in MEND:
                old = [
                    self._columns(entry, known[kind, entry.id], "")
                    for entry in group
                    if (kind, entry.id) in known
                ]
                statements.append((self.sql(MEND[kind]), old))
        await self.store.change(*statements, limit_s=COPY_S)

    async def _known(self, origin: str) -> dict[tuple[str, str], str]:
        """What came from that origin before: ids here by those there."""
        known: dict[tuple[str, str], str] = {}
        for kind, table in TABLES.items():
            for row in await self.store.rows(self._table(ORIGINS, table), {"project": self.project}):
                place, _, id_ = text_of(row["origin"]).rpartition("#")
                if place != origin:
                    raise UsageError(
                        f"{self.store.place} has records of {self.project} that did not come from {origin}.",
                        hint="Copy into a ledger that is new, or that had been copied from the same one and was "
                        "not recorded in since.",
                    )
                known[kind, id_] = str(row["id"])
        return known

    def _table(self, sql: str, table: str) -> str:
        return self.sql(sql.replace("${table}", f"${table}"))

    def _columns(self, entry: Entry, id_: str, origin: str) -> dict[str, Any]:
        def stored(moment: datetime | None) -> Any:
            return None if moment is None else self.stored(moment)

        return {
            "id": int(id_),
            "project": self.project,
            "origin": origin,
            "key": entry.key or origin,
            "environment": entry.environment,
            "app": entry.app,
            "sha": entry.sha,
            "payload": entry.payload,
            "promotion": entry.promotion,
            "creator": entry.creator,
            "created_at": stored(entry.created_at),
            "state": entry.state,
            "reached_success": entry.reached_success,
            "description": entry.description,
            "finished_at": stored(entry.finished_at),
            "url": entry.url,
            "plan": entry.plan,
            "expires_at": stored(entry.expires_at),
        }


def _renaming(ids: Mapping[tuple[str, str], str], origin: str) -> Renamed:
    return lambda kind, id_: ids.get((kind, str(id_))) or f"{origin}#{id_}"


def _intent(row: Row) -> Entry:
    return replace(
        _record("intent", row),
        key=text_of(row["key"]),
        state=text_of(row["state"]),
        description=text_of(row["description"]),
        finished_at=moment_of(row["finished_at"]) if row["finished_at"] else None,
    )


def _deployment(row: Row) -> Entry:
    return replace(
        _record("deployment", row),
        app=text_of(row["app"]),
        sha=text_of(row["sha"]),
        promotion=text_of(row["promotion"]),
        state=text_of(row["state"]) if row["state"] else None,
        reached_success=bool(row["reached_success"]),
    )


def _record(kind: Literal["intent", "deployment"], row: Row) -> Entry:
    """What intents and deployments have in common."""
    return Entry(
        kind=kind,
        id=str(row["id"]),
        environment=text_of(row["environment"]),
        created_at=moment_of(row["created_at"]),
        creator=text_of(row["creator"]),
        payload=text_of(row["payload"]),
        url=text_of(row["url"]),
    )


def _approval(row: Row) -> Entry:
    return Entry(
        kind="approval",
        id=str(row["id"]),
        environment=text_of(row["environment"]),
        created_at=moment_of(row["at"]),
        creator=text_of(row["account"]),
        plan=text_of(row["plan"]),
        expires_at=moment_of(row["expires_at"]),
    )


_READERS = {"intent": _intent, "deployment": _deployment, "approval": _approval}
