"""History: who put what where, and all that is known of one promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from liftlock.commands.history import (
    Account,
    Found,
    Wanted,
    account_of,
    moment_of,
    nobody_so_named,
    read_history,
)
from liftlock.commands.rollback import plan_rollback
from liftlock.errors import NotHealthy, UsageError
from liftlock.model import Deployment, Intent, Kind, State, Unknown
from liftlock.ports import NewIntent
from tests.commands.world import World, played
from tests.doubles import START, release

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


async def found(world: World, limit: int = 20, environment: str | None = "staging", **wanted: Any) -> Found:
    return await read_history(world.project, world.adapters, environment, limit, Wanted(**wanted))


def ids(history: Found) -> list[str]:
    return [e.intent.id if e.intent else e.deployment.id if e.deployment else "" for e in history.entries]


async def promoted(world: World, version: str = "b") -> Intent:
    """Promote that version to staging, a minute later."""
    await anyio.sleep(60)
    for app in world.project.apps:
        if version != "b":
            of = release(app, version)
            world.ledger.put(
                replace(
                    Deployment(f"dev-{app}-{version}", app, "dev", of, world.clock.now()),
                    promotion="dev",
                    kind=Kind.DEPLOY,
                )
            )
    await world.run(world.plan)
    return (await world.ledger.intents("staging", 1))[0]


async def account(world: World, id_: str) -> Account:
    told = await account_of(world.project, world.adapters, id_)
    assert isinstance(told, Account)
    return told


@pytest.mark.parametrize(
    ("text", "is_end", "moment"),
    [
        ("2d", False, NOW - timedelta(days=2)),
        ("2026-11-19", False, datetime(2026, 11, 19, tzinfo=UTC)),
        ("2026-11-19", True, datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-19T10:30", True, datetime(2026, 11, 19, 10, 30, tzinfo=UTC)),
        ("2026-11-19T10:30-03:00", False, datetime(2026, 11, 19, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_day_a_moment_or_how_long_ago(text: str, is_end: bool, moment: datetime) -> None:
    assert moment_of(text, NOW, "--since", is_end=is_end) == moment


@pytest.mark.parametrize("text", ["yesterday", "2", "11-20", "99999999999999999d"])
def test_another_time_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match=r"--until"):
        moment_of(text, NOW, "--until")


def test_history_is_filtered_by_app_person_and_time() -> None:
    async def main() -> None:
        world = World()
        first = await promoted(world)
        second = await promoted(world, "c")
        world.put("SSO", "d", 70, 900)
        assert ids(await found(world)) == ["900", second.id, first.id]
        assert ids(await found(world, app="SSO")) == ["900", second.id, first.id]
        assert ids(await found(world, app="ODB")) == [second.id, first.id]
        assert ids(await found(world, by="Requester")) == [second.id, first.id]
        assert ids(await found(world, by="Requester", limit=1)) == [second.id]
        assert ids(await found(world, since=second.created_at)) == ["900", second.id]
        assert ids(await found(world, until=second.created_at)) == [first.id]
        assert ids(await found(world, environment="production")) == []
        with pytest.raises(UsageError, match="There is no app 'SS'"):
            await found(world, app="SS")

    played(main)


def test_nobody_of_a_name_is_told_from_who_there_is() -> None:
    async def main() -> None:
        world = World()
        await promoted(world)
        nothing = await found(world, by="requestr")
        assert nothing.entries == []
        assert "Did you mean requester?" in nobody_so_named("requestr", nothing.people)
        assert "entries by requester." in nobody_so_named("zoe", nothing.people)

    played(main)


def test_other_tools_records_are_looked_for_no_further_back_than_needed() -> None:
    async def main() -> None:
        world = World()
        asked: list[datetime | None] = []
        others = world.ledger.others

        async def spied(*args: Any, **more: Any) -> Any:
            asked.append(more["since"])
            return await others(*args, **more)

        await promoted(world)
        newest = await promoted(world, "c")
        world.ledger.others = spied  # type: ignore[method-assign]
        assert ids(await found(world, limit=1)) == [newest.id]
        assert set(asked) == {newest.created_at}

    played(main)


def test_one_promotion_tells_its_records_times_backups_and_approvals() -> None:
    async def main() -> None:
        world = World()
        world.platform.takes_s = {"backup": 60.0, "release": 20.0}
        plan = await world.plan()
        world.approved(plan, "bob")
        made = await promoted(world)
        told = await account(world, made.id)
        assert told.records.keys() == told.replaced.keys() == {"SSO", "ODB", "Explore"}
        assert told.replaced["SSO"].release == release("SSO", "a")
        assert told.records["SSO"].steps["backup"].took_s == 60.0
        assert [(b.id, b.app) for b in told.backups] == [("b001", "SSO")]
        assert not isinstance(told.approvals, Unknown)
        assert [a.account for a in told.approvals] == ["bob"]

    played(main)


def test_a_failed_promotion_has_no_record_and_tells_what_it_would_have_replaced() -> None:
    async def main() -> None:
        world = World()
        world.platform.fails["settle", "ODB"] = NotHealthy("ODB crashed.")
        made = await promoted(world)
        told = await account(world, made.id)
        assert (told.intent.state, told.records) == (State.FAILURE, {})
        assert told.replaced["ODB"].release == release("ODB", "a")

    played(main)


def test_an_open_promotion_tells_the_backups_in_the_leases_journal() -> None:
    async def main() -> None:
        world = World()
        plan = await world.plan()
        intent = await world.ledger.open_intent(
            NewIntent("key", Kind.PROMOTION, "staging", "dev", plan.digest, {}, {}, {})
        )
        lease = await world.adapters.leases.take("staging", "a test")
        times = {"started_at": START.isoformat(), "finished_at": START.isoformat()}
        backup = {"id": "b7", "database": "db", "app": "SSO", "service": "fake", "size_bytes": 5, **times}
        await lease.write({"promotion": intent.id, "backups": [backup]})
        told = await account(world, intent.id)
        assert told.intent.is_open
        assert [b.id for b in told.backups] == ["b7"]
        await lease.free()
        assert (await account(world, intent.id)).backups == ()

    played(main)


def test_an_id_may_be_begun_and_a_wrong_one_is_told() -> None:
    async def main() -> None:
        world = World()
        world.ledger._count = 4710
        made = await promoted(world)
        assert made.id == "4711"
        assert (await account(world, "471")).intent.id == "4711"
        with pytest.raises(UsageError) as caught:
            await account_of(world.project, world.adapters, "4771")
        assert "Did you mean 4711?" in caught.value.hint
        other = await promoted(world, "c")
        with pytest.raises(UsageError, match=f"begins 2 ids: {other.id}, 4711"):
            await account_of(world.project, world.adapters, "47")

    played(main)


def test_a_records_id_leads_to_its_promotion_and_another_tools_record_is_told() -> None:
    async def main() -> None:
        world = World()
        made = await promoted(world)
        (record,) = await world.ledger.deployments("staging", "ODB", 1)
        assert (await account(world, record.id)).intent.id == made.id
        world.put("SSO", "d", 70, 900)
        told = await account_of(world.project, world.adapters, "900")
        assert isinstance(told, Deployment)
        assert told.app == "SSO"

    played(main)


def test_rollback_takes_every_id_that_history_shows() -> None:
    async def main() -> None:
        world = World()
        world.put("SSO", "a", 30, 900)
        first = await promoted(world)
        await promoted(world, "c")
        shown = ids(await found(world))
        assert {first.id, "900"} <= set(shown)
        for to, version in ((first.id, "b"), ("900", "a")):
            plan = await plan_rollback(world.project, world.adapters, "staging", to=to)
            wanted = plan.apps["SSO"].release
            assert wanted is not None
            assert wanted.commit[0] == version
        with pytest.raises(UsageError, match="is not known"):
            await plan_rollback(world.project, world.adapters, "staging", to="99999")

    played(main)
