"""How long an SQL ledger's answers take as its records grow: `python -m benchmarks.ledger`.

64 apps in 5 environments, with 1,000, 10,000 and 100,000 records. What a board asks for (the current
records of every environment, and what stands open), a history (the newest promotions), an app's page,
and what the reading of a promotion from others' work costs (opening and closing an intent). The
program's own work on the rows is in the times. SQLite in a file, PostgreSQL on the embedded server.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from liftlock.ledgers.payload import intent_payload, record_payload
from liftlock.ledgers.postgresql import PostgresqlLedger
from liftlock.ledgers.sql import json_of
from liftlock.ledgers.sql_copies import CopyingSqlLedger
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import ImageId, Kind, Release, State
from liftlock.ports import Entry, NewDeployment, NewIntent
from liftlock.postgresql.database import Database
from liftlock.tasks import together
from liftlock.wiring import SystemClock

SIZES = (1_000, 10_000, 100_000)
APPS = tuple(f"S{number:02}" for number in range(64))
AT_ONCE = 8
"""How many apps a promotion lifts: with a thousand records there is a page of everything that is asked for."""
ENVIRONMENTS = ("dev", "test", "staging", "canary", "production")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = "5" * 64


def history(records: int) -> list[Entry]:
    """So many records: promotions of some apps each, into one environment after the other."""
    entries: list[Entry] = []
    for number in range(records // AT_ONCE):
        environment, at = ENVIRONMENTS[number % len(ENVIRONMENTS)], BEGAN + timedelta(minutes=number)
        image, group = ImageId(f"sha256:{number:064x}"), number // len(ENVIRONMENTS) * AT_ONCE
        apps = [APPS[(group + place) % len(APPS)] for place in range(AT_ONCE)]
        releases = {app: Release(app, f"{number:040x}", {"web": image}) for app in apps}
        promotion = str(number + 1)
        intent = json_of(intent_payload(_intent(promotion, environment, releases), "many"))
        common: dict[str, Any] = {"environment": environment, "created_at": at, "creator": "ana"}
        entries.append(
            Entry(
                **common,
                kind="intent",
                id=promotion,
                payload=intent,
                state="success",
                key=promotion,
                finished_at=at,
            )
        )
        for place, app in enumerate(apps):
            new = NewDeployment(app, environment, releases[app], promotion, Kind.PROMOTION, "dev")
            entries.append(
                Entry(
                    **common,
                    kind="deployment",
                    id=str(number * AT_ONCE + place + 1),
                    payload=json_of(record_payload(new)),
                    state="success",
                    app=app,
                    sha=releases[app].commit,
                    promotion=promotion,
                    reached_success=True,
                )
            )
    return entries


def _intent(key: str, environment: str, releases: Mapping[str, Release]) -> NewIntent:
    return NewIntent(key, Kind.PROMOTION, environment, "dev", PLAN, releases, {}, {})


async def board(ledger: CopyingSqlLedger) -> None:
    async def look(environment: str) -> None:
        records = ledger.read(environment, APPS)
        await together(records.recorded, records.open_intents)

    await together(*[partial(look, environment) for environment in ENVIRONMENTS])


async def newest(ledger: CopyingSqlLedger) -> None:
    await ledger.intents(None, 50)


async def of_environment(ledger: CopyingSqlLedger) -> None:
    await ledger.intents("production", 20)


async def of_app(ledger: CopyingSqlLedger) -> None:
    await ledger.deployments("production", "S17", 3)


async def promotion(ledger: CopyingSqlLedger) -> None:
    intent = await ledger.open_intent(_intent(uuid4().hex, "production", {}))
    await ledger.close_intent(intent, State.SUCCESS, "it went")


ASKED: Mapping[str, Callable[[CopyingSqlLedger], Awaitable[None]]] = {
    "board": board,
    "history": newest,
    "history of an environment": of_environment,
    "an app's page": of_app,
    "an intent, opened and closed": promotion,
}


async def measure(ledger: CopyingSqlLedger, records: int, rounds: int) -> dict[str, float]:
    """The least time of each question, in milliseconds: what others do on the machine only ever adds to it."""
    await ledger.put(history(records), "made up")
    found = {}
    for name, ask in ASKED.items():
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            await ask(ledger)
            times.append(time.perf_counter() - began)
        found[name] = 1000 * min(times)
    return found


async def main(rounds: int) -> None:
    from liftlock.databases.scratch import embedded_server

    print("| ledger | question | " + " | ".join(f"{size:,}" for size in SIZES) + " | growth |")
    print("| --- | --- |" + " --- |" * (len(SIZES) + 1))
    with tempfile.TemporaryDirectory() as folder:
        files = {
            size: SqliteLedger(Path(folder) / f"{size}.db", "many", SystemClock(), "ana") for size in SIZES
        }
        _print("SQLite", [await measure(files[size], size, rounds) for size in SIZES])
        for file in files.values():
            file.close()
    async with embedded_server({}) as address:
        database = Database(address, {})
        # Projects of one database: what one asks for must not become slower by the others either.
        ledgers = [PostgresqlLedger(database, f"many {size}", SystemClock()) for size in SIZES]
        found = []
        for size, ledger in zip(SIZES, ledgers, strict=True):
            found.append(await measure(ledger, size, rounds))
        _print("PostgreSQL", found)
        await database.aclose()


def _print(ledger: str, found: list[dict[str, float]]) -> None:
    for name in ASKED:
        times = [each[name] for each in found]
        cells = " | ".join(f"{each:.1f} ms" for each in times)
        print(f"| {ledger} | {name} | {cells} | {times[-1] / times[0]:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    anyio.run(main, parser.parse_args().rounds)
