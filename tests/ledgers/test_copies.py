"""A ledger that is copied into another one: nothing lost, compared entry by entry, and safe to repeat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from liftlock.commands.copy_ledger import copy_ledger
from liftlock.errors import Busy, LiftlockError, UsageError
from liftlock.ledgers.copied import same
from liftlock.ledgers.github import GitHubLedger
from liftlock.ledgers.memory import Memory
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import Deployment, Intent, Kind, State
from liftlock.ports import Adapters, Exporting, Importing, Ledger
from liftlock.testing import adapters_in_memory
from tests.ledgers.worlds import (
    RELEASES,
    GitHubWorld,
    Ticking,
    World,
    containers,
    github_world,
    new_deployment,
    new_intent,
    observatory,
    postgresql_world,
    sqlite_world,
)

pytestmark = pytest.mark.anyio

PLAN = "5" * 64
EXPIRES = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
APPS = tuple(observatory().apps)


@pytest.fixture
def anyio_backend() -> str:
    """psycopg speaks asyncio alone."""
    return "asyncio"


@pytest.fixture(
    params=[
        ("sqlite", "postgresql"),
        ("postgresql", "sqlite"),
        ("github", "sqlite"),
        ("github", "postgresql"),
    ],
    ids="-".join,
)
async def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """One with a history, and an empty one."""
    async with AsyncExitStack() as opened:
        made: list[World] = []
        for number, kind in enumerate(request.param):
            if kind == "github":
                made.append(await opened.enter_async_context(github_world()))
            elif kind == "sqlite":
                folder = tmp_path / str(number)
                folder.mkdir()
                made.append(await opened.enter_async_context(sqlite_world(folder)))
            else:
                address = request.getfixturevalue("ledger_database")
                made.append(await opened.enter_async_context(postgresql_world(address)))
        await history(made[0])
        yield made[0], made[1]


async def history(world: World) -> None:
    """Two promotions, one that failed, a rollback, approvals, and what another tool wrote."""
    ledger = world.ledger
    if isinstance(world, GitHubWorld):
        body = {"task": "deploy:SSO", "environment": "staging", "payload": '{"docker_image_shas": {}}'}
        await world.foreign("example/services", body, "success")
        await world.foreign("example/services", {**body, "payload": {"anything": ["at", "all"]}}, "failure")
        await world.foreign("example/services", {**body, "payload": "no JSON"})
    await ledger.approve("staging", PLAN, EXPIRES)
    first = await lift(ledger, "one")
    await lift(ledger, "two", replaced={"SSO": (await newest(ledger)).id})
    failed = await ledger.open_intent(new_intent("failed", replaced={"SSO": "999999999"}))
    await ledger.close_intent(failed, State.FAILURE, "ODB did not come up")
    back = await ledger.open_intent(
        new_intent("back", kind=Kind.ROLLBACK, source="", reverts=first.id, replaced={})
    )
    await ledger.close_intent(back, State.ERROR, "a person is needed")


async def lift(ledger: Ledger, key: str, **more: Any) -> Intent:
    intent = await ledger.open_intent(new_intent(key, **{"replaced": {}, **more}))
    old = await ledger.deployments("staging", "SSO", 1)
    for release in RELEASES.values():
        replaced = old[0].id if old and release.app == "SSO" else ""
        new = new_deployment(release, intent.id, replaced=replaced, source_deployment="")
        await ledger.mark(await ledger.record(new, intent), State.SUCCESS)
    if old:
        await ledger.mark(old[0], State.INACTIVE)
    await ledger.close_intent(intent, State.SUCCESS, f"{key} went")
    return intent


async def newest(ledger: Ledger) -> Deployment:
    return (await ledger.deployments("staging", "SSO", 1))[0]


def adapters(world: World) -> Adapters:
    return replace(adapters_in_memory(Ticking()), ledger=world.another())


async def copied(there: World, here: World, *, dry_run: bool = False) -> Sequence[int]:
    done = await copy_ledger(there.project, adapters(there), adapters(here), "old", dry_run=dry_run)
    kinds = ("intent", "deployment", "approval")
    assert [done.there.get(kind, 0) for kind in kinds] == await counted(there)
    return [done.brought.get(kind, 0) for kind in kinds]


async def counted(world: World) -> list[int]:
    assert isinstance(world.ledger, Exporting)
    kinds = [entry.kind for entry in await world.ledger.entries()]
    return [kinds.count("intent"), kinds.count("deployment"), kinds.count("approval")]


async def test_nothing_is_lost_and_ids_are_those_of_here(worlds: tuple[World, World]) -> None:
    there, here = worlds
    before = await counted(there)
    assert await copied(there, here) == before == await counted(here)
    for app in APPS:
        old, new = (
            await there.ledger.deployments("staging", app, 99),
            await here.ledger.deployments("staging", app, 99),
        )
        assert [facts(each) for each in old] == [facts(each) for each in new]
    promotions = {intent.id: intent for intent in await here.ledger.intents(None, 99)}
    records = {record.id for app in APPS for record in await here.ledger.deployments("staging", app, 99)}
    told = [(i.state, i.description, i.creator, i.created_at, i.finished_at) for i in promotions.values()]
    assert told == [
        (i.state, i.description, i.creator, i.created_at, i.finished_at)
        for i in await there.ledger.intents(None, 99)
    ]
    replaced = {i.replaced["SSO"] for i in promotions.values() if i.replaced}
    assert replaced - records == {"old#999999999"}  # what never came along keeps its old name
    assert replaced & records
    assert [promotions[i.reverts].description for i in promotions.values() if i.reverts] == ["one went"]
    current = (await here.ledger.read("staging", APPS).recorded())["SSO"].current
    assert current is not None
    assert promotions[current.promotion].description == "two went"
    assert current.replaced in records
    assert await here.ledger.approvals("staging", PLAN) == await there.ledger.approvals("staging", PLAN)


def facts(record: Deployment) -> tuple[object, ...]:
    return (
        record.release,
        record.created_at,
        record.creator,
        record.state,
        record.reached_success,
        record.kind,
        record.backups,
        record.steps,
        record.url,
        bool(record.promotion),
    )


async def test_a_copy_that_is_repeated_brings_what_is_new(worlds: tuple[World, World]) -> None:
    there, here = worlds
    first = await copied(there, here)
    assert await copied(there, here) == [0, 0, 0]
    await lift(there.ledger, "three")
    assert await copied(there, here, dry_run=True) == [1, len(RELEASES), 0]
    assert await counted(here) == first
    assert await copied(there, here) == [1, len(RELEASES), 0]
    old, new = await newest(there.ledger), await newest(here.ledger)
    assert facts(old) == facts(new)
    states = [[d.state for d in await w.ledger.deployments("staging", "SSO", 9)] for w in worlds]
    assert states[0] == states[1]


async def test_a_copy_that_breaks_off_leaves_nothing(worlds: tuple[World, World]) -> None:
    there, here = worlds
    assert isinstance(there.ledger, Exporting)
    assert isinstance(here.ledger, Importing)
    entries = list(await there.ledger.entries())
    twice = next(entry for entry in entries if entry.kind == "intent")
    broken = [*entries, replace(twice, id="999999")]  # its key is taken: the last insert fails
    with pytest.raises(LiftlockError):
        await here.ledger.put(broken, "old")
    assert await counted(here) == [0, 0, 0]
    assert await copied(there, here) == await counted(there)


async def test_what_differs_afterwards_is_told(worlds: tuple[World, World]) -> None:
    there, here = worlds
    await copied(there, here)
    assert isinstance(there.ledger, Exporting)
    assert isinstance(here.ledger, Importing)
    entries = list(await there.ledger.entries())
    assert await here.ledger.differing(entries, "old") == []
    assert not same(entries[0], replace(entries[0], creator="somebody else"))
    await here.ledger.mark(await newest(here.ledger), State.FAILURE)
    (different,) = await here.ledger.differing(entries, "old")
    assert different.id == (await newest(there.ledger)).id


async def test_nobody_may_be_at_work_in_either(worlds: tuple[World, World]) -> None:
    there, here = worlds
    reading, writing = adapters(there), adapters(here)
    for leases in (reading.leases, writing.leases):
        lease = await leases.take("staging", "a promotion")
        with pytest.raises(Busy, match="holds staging for a promotion"):
            await copy_ledger(there.project, reading, writing, "old")
        with pytest.raises(Busy, match="holds staging for a promotion"):
            await copy_ledger(there.project, reading, writing, "old", dry_run=True)
        await lease.free()
    await there.ledger.open_intent(new_intent("open"))
    for dry_run in (False, True):
        with pytest.raises(Busy, match="stands open in staging"):
            await copy_ledger(there.project, reading, writing, "old", dry_run=dry_run)
    assert await counted(here) == [0, 0, 0]
    assert await writing.leases.holding("staging") is None


async def test_a_ledger_with_records_of_its_own_is_left_alone(worlds: tuple[World, World]) -> None:
    there, here = worlds
    intent = await here.ledger.open_intent(new_intent())
    await here.ledger.record(new_deployment(containers(), intent.id), intent)
    await here.ledger.close_intent(intent, State.SUCCESS, "its own")
    with pytest.raises(UsageError, match="did not come from old"):
        await copied(there, here)
    assert await counted(here) == [1, 1, 0]


async def test_only_an_sql_ledger_takes_anothers_records(tmp_path: Path) -> None:
    async with github_world() as world:
        assert isinstance(world.ledger, GitHubLedger)
        source = SqliteLedger(tmp_path / "liftlock.db", "observatory", Ticking())
        reading = replace(adapters_in_memory(Ticking()), ledger=source)
        with pytest.raises(UsageError, match="A github ledger cannot take another one's records"):
            await copy_ledger(world.project, reading, adapters(world), "sqlite:///liftlock.db")
        memory = replace(adapters_in_memory(Ticking()), ledger=Memory(Ticking()))
        with pytest.raises(UsageError, match="A memory ledger cannot be read whole"):
            await copy_ledger(world.project, memory, reading, "memory")
        source.close()
