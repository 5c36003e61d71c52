"""What stands in the ledger and in the leases, read from where they are kept and not through liftlock.

Two ways of keeping them: in the sandbox's GitHub, and in an SQLite file. Both give the same plain values.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from liftlock.sandbox.clock import EPOCH, from_iso
from tests.simulation.world import COMMAND, World

OPEN = {"", "in_progress", "queued", "pending"}
LEASE_MARGIN_S = 60.0
"""As docs/explanation/leases.md promises: nobody else takes a lease until so long after its time."""


@dataclass(frozen=True)
class Written:
    """An intent as it stands in the ledger."""

    id: str
    key: str
    environment: str
    kind: str
    source: str
    at: float
    state: str
    releases: Mapping[str, Mapping[str, str]]
    """By app, the parts that are to run: image ids, or the name of a site version."""
    plan: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True)
class Record:
    """An app's record as it stands in the ledger."""

    id: int
    app: str
    environment: str
    promotion: str
    parts: Mapping[str, str]
    states: tuple[str, ...]
    at: float

    @property
    def counts(self) -> bool:
        return "success" in self.states or not self.states


@dataclass(frozen=True)
class Yes:
    """An approval as it stands in the ledger: who gave it, to which plan, and for how long."""

    account: str
    plan: str
    at: float
    until: float


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, until when nobody else may take it, and its number."""

    actor: str
    until: float
    number: int
    standing: str


class Books(Protocol):
    """The ledger and the leases, as they stand."""

    def intents(self, environment: str) -> list[Written]: ...

    def records(self, environment: str | None = None) -> list[Record]: ...

    def holder(self, environment: str) -> Holder | None: ...

    def approvals(self, environment: str) -> list[Yes]: ...


def seconds(moment: datetime) -> float:
    return (moment - EPOCH).total_seconds()


def _parts(artifacts: Mapping[str, Any]) -> Mapping[str, str]:
    """The parts of an intent's artifacts, whatever their kind: `{"web": {"image": "sha256:…"}}`."""
    found = {}
    for part, value in artifacts.items():
        texts = [text for text in _texts(value) if text.startswith(("sha256:", "sites/")) or part == "commit"]
        found[part] = texts[0] if texts else str(value)
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for each in values for text in _texts(each)]


def _written(number: str, payload: Mapping[str, Any], at: float, state: str) -> Written:
    ours = payload["liftlock"]
    releases = {app: _parts(one["artifacts"]) for app, one in ours["releases"].items()}
    environment, kind, source = ours["environment"], ours["kind"], ours["source"]
    overrides = tuple(ours.get("overrides") or ())
    return Written(
        number, ours["key"], environment, kind, source, at, state, releases, ours.get("plan", ""), overrides
    )


def _record(
    number: int, app: str, environment: str, sha: str, payload: Any, states: tuple[str, ...], at: float
) -> Record:
    whole = payload if isinstance(payload, dict) else {}
    ours = whole.get("liftlock") or {}
    parts = dict(whole.get("docker_image_shas") or {})
    if "site" in ours:
        parts["site"] = ours["site"]["version"]
    if app == COMMAND:
        parts["commit"] = ours.get("commit") or sha
    return Record(number, app, environment, str(ours.get("promotion", "")), parts, states, at)


class GitHubBooks:
    """In the tables of the sandbox's GitHub."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._repository = world.repository
        self.taken_by: dict[tuple[str, int], str] = {}
        """Which actor's request created a lease's number; told by whoever watches the requests."""

    def _states(self, number: int) -> tuple[str, ...]:
        rows = (self._repository.statuses.get(str(number)) or {"rows": []})["rows"]
        return tuple(row["state"] for row in rows)

    def intents(self, environment: str) -> list[Written]:
        found: dict[str, Written] = {}
        for row in self._repository.deployments.values():
            if row["task"] == "liftlock:promotion" and row["environment"] == environment:
                states = [s for s in self._states(row["id"]) if s != "inactive"]
                state = states[-1] if states else ""
                one = _written(str(row["id"]), row["payload"], seconds(from_iso(row["created_at"])), state)
                # A create that was repeated, because the first one was listed late, is one intent.
                if one.key not in found or (found[one.key].is_open and not one.is_open):
                    found[one.key] = one
        return list(found.values())

    def records(self, environment: str | None = None) -> list[Record]:
        return [
            _record(
                row["id"],
                row["task"].removeprefix("deploy:"),
                row["environment"],
                row["sha"],
                row["payload"],
                self._states(row["id"]),
                seconds(from_iso(row["created_at"])),
            )
            for row in self._repository.deployments.values()
            if row["task"].startswith("deploy:") and environment in {None, row["environment"]}
        ]

    def approvals(self, environment: str) -> list[Yes]:
        return [
            Yes(
                row["creator"],
                row["payload"]["liftlock"]["plan"],
                seconds(from_iso(row["created_at"])),
                seconds(from_iso(row["payload"]["liftlock"]["expires"])),
            )
            for row in self._repository.deployments.values()
            if row["task"] == "liftlock:approval" and row["environment"] == environment
        ]

    def holder(self, environment: str) -> Holder | None:
        prefix = f"refs/liftlock/{self._world.project.name}/{environment}/"
        names = {int(n.removeprefix(prefix)): n for n in self._repository.refs if n.startswith(prefix)}
        if not names:
            return None
        number = max(names)
        ref = self._repository.refs.get(names[number])
        tag = self._repository.objects.get(ref["sha"]) if ref else None
        assert tag is not None
        record = json.loads(tag["message"])
        until = seconds(from_iso(tag["tagger"]["date"])) + record.get("ttl_s", 0.0) + LEASE_MARGIN_S
        return Holder(self.taken_by.get((environment, number), "?"), until, number, record["standing"])


class SqliteBooks:
    """In the file of an SQLite ledger, over a connection of our own."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._path = folder / "liftlock.db"
        self._db: sqlite3.Connection | None = None

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        if self._db is None:
            if not self._path.exists():
                return []
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.OperationalError:  # its tables are not made yet
            return []

    def intents(self, environment: str) -> list[Written]:
        rows = self._rows("SELECT * FROM intents WHERE environment = ? ORDER BY id", environment)
        return [
            _written(str(r["id"]), json.loads(r["payload"]), _moment(r["created_at"]), r["state"])
            for r in rows
        ]

    def records(self, environment: str | None = None) -> list[Record]:
        rows = self._rows("SELECT * FROM deployments ORDER BY id")
        return [
            _record(
                r["id"],
                r["app"],
                r["environment"],
                r["sha"],
                json.loads(r["payload"]),
                ("success",) if r["reached_success"] else (r["state"],) if r["state"] else (),
                _moment(r["created_at"]),
            )
            for r in rows
            if environment in {None, r["environment"]}
        ]

    def holder(self, environment: str) -> Holder | None:
        rows = self._rows(
            "SELECT * FROM leases WHERE environment = ? ORDER BY number DESC LIMIT 1", environment
        )
        if not rows:
            return None
        record = json.loads(rows[0]["record"])
        until = _moment(rows[0]["written_at"]) + record.get("ttl_s", 0.0) + LEASE_MARGIN_S
        return Holder(rows[0]["holder"], until, rows[0]["number"], record["standing"])

    def approvals(self, environment: str) -> list[Yes]:
        return []  # no environment of a seed with a file asks for any

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
