"""Back to an earlier state: by id, by time, for some apps, and with a word on migrations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import pytest

from liftlock.commands.promote import plan_promotion
from liftlock.commands.rollback import in_effect, moment_of, plan_rollback
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Backup, Known, Release
from liftlock.planning.plan import Action, Plan
from tests.commands.world import World, played
from tests.doubles import START, image, release

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


async def back(world: World, *apps: str, to: str = "") -> Plan:
    return await plan_rollback(world.project, world.adapters, "staging", to=to, apps=apps)


def commits(plan: Plan) -> dict[str, str]:
    return {a.app: a.release.commit[0] for a in plan.apps.values() if a.release}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-20T10:30", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-20 07:30-03:00", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-19", datetime(2026, 11, 19, tzinfo=UTC)),
        ("1234567", None),
        ("20261119", None),
        ("not-a-time", None),
    ],
)
def test_a_time_or_a_duration_is_told_from_an_id(text: str, moment: datetime | None) -> None:
    assert moment_of(text, NOW) == moment


def test_a_time_to_come_is_refused() -> None:
    with pytest.raises(UsageError, match="lies in the future"):
        moment_of("2026-11-21", NOW)


def test_going_back_to_a_time_takes_each_app_as_it_stood_then() -> None:
    async def main() -> None:
        world = World()
        await world.run(world.plan)  # b, at 13:00
        await anyio.sleep(3600)
        assert set(commits(await back(world, to="30m")).values()) == {"b"}
        assert set(commits(await back(world, to="2026-11-20T12:30")).values()) == {"a"}
        blocked = (await back(world, to="1d")).blocked
        assert {a.app for a in blocked} == set(world.project.apps)

    played(main)


@pytest.mark.promise("P4")
def test_a_promotion_that_had_not_ended_by_then_counts_as_not_begun() -> None:
    async def main() -> None:
        world = World()
        world.platform.takes_s["settle"] = 600.0
        await world.run(world.plan)
        (intent,) = await world.ledger.intents("staging", 1)
        records = [d for app in world.project.apps for d in await world.ledger.deployments("staging", app, 1)]
        between = min(d.created_at for d in records)
        # As if the close had come later than the records, as it does.
        world.ledger._intents[intent.id] = replace(intent, finished_at=between + timedelta(seconds=5))
        await anyio.sleep(60)
        at = (between + timedelta(seconds=1)).isoformat()
        assert set(commits(await back(world, to=at)).values()) == {"a"}

    played(main)


def test_a_rollback_of_one_app_leaves_the_promotion_in_effect_for_the_others() -> None:
    async def main() -> None:
        world = World()
        await world.run(world.plan)
        (promotion,) = await world.ledger.intents("staging", 1)
        await world.run(lambda: back(world, "Explore"))
        assert promotion.id in [i.id for i in in_effect(await world.ledger.intents("staging", 9))]
        plan = await back(world)
        assert plan.apps["Explore"].action is Action.UNCHANGED
        assert plan.apps["SSO"].action is plan.apps["ODB"].action is Action.RELEASE
        assert set(commits(plan).values()) == {"a"}
        await world.run(lambda: back(world))
        assert in_effect(await world.ledger.intents("staging", 9)) == []

    played(main)


def migrating(version: str, schema: str) -> Release:
    of = release("SSO", version)
    return Release("SSO", of.commit, {**of.artifacts, "release": image(f"schema {schema}")})


def kept(name: str, at_min: float) -> Backup:
    finished = START + timedelta(minutes=at_min)
    return Backup(name, "db-SSO", "SSO", "fake", 1000, finished, finished)


@pytest.mark.promise("P8")
def test_an_app_that_the_last_promotion_left_alone_is_not_silently_left_alone_again() -> None:
    async def main() -> None:
        world = World()
        await world.run(partial(plan_promotion, world.project, world.adapters, "dev", "staging", ["ODB"]))
        (intent,) = await world.ledger.intents("staging", 1)
        with pytest.raises(LiftlockError, match=f"{intent.id}, was about ODB, and not about SSO") as refused:
            await back(world, "SSO")
        assert "liftlock history staging --app SSO" in refused.value.hint
        assert commits(await back(world, "ODB"))["ODB"] == "a"

    played(main)


@pytest.mark.parametrize(
    ("schemas", "words"),
    [
        (("1", "1"), ""),
        (("1", "2"), "migration that b000000 made"),
        (("1", "2", "3"), "migration that b000000 made"),
        (("1", "1", "2"), "migration that c000000 made"),
    ],
)
def test_going_back_beyond_a_migration_is_told(schemas: tuple[str, ...], words: str) -> None:
    async def main() -> None:
        world = World()
        records = world.ledger._records["staging", "SSO"]
        records.clear()
        for number, (version, schema) in enumerate(zip("abc", schemas, strict=False)):
            world.put("SSO", version, 10 * number, 200 + number)
            records[-1] = replace(records[-1], release=migrating(version, schema))
        world.platform.runs["SSO", "staging"] = Known(records[-1].release.artifacts, marker="v9")
        world.databases.kept = [kept("b001", -60), kept("b002", 5), kept("b003", 15), kept("b004", 40)]
        plan = await back(world, "SSO", to="2026-11-20T12:05")
        (app,) = [a for a in plan.apps.values() if a.app == "SSO"]
        notes = " ".join(app.notes)
        assert (words in notes) if words else not notes
        if words:
            newest = {"b": "b002", "c": "b003"}[words.split()[2][0]]
            assert f"newest backup from before it: {newest} of 2026-11-20" in notes
        world.databases.kept = [kept("b004", 40)]
        app = (await back(world, "SSO", to="2026-11-20T12:05")).apps["SSO"]
        assert ("no backup from before it exists any more" in " ".join(app.notes)) is bool(words)

    played(main)


def test_nothing_is_told_of_migrations_where_nothing_goes_back() -> None:
    """It went back once already: what is asked for stands, and the schema moved no further."""

    async def main() -> None:
        world = World()
        records = world.ledger._records["staging", "SSO"]
        records.clear()
        for number, (version, schema) in enumerate((("a", "1"), ("b", "2"), ("a", "1"))):
            world.put("SSO", version, 10 * number, 200 + number)
            records[-1] = replace(records[-1], release=migrating(version, schema))
        world.platform.runs["SSO", "staging"] = Known(records[-1].release.artifacts, marker="v9")
        (app,) = [a for a in (await back(world, to="2026-11-20T12:05")).apps.values() if a.app == "SSO"]
        assert (app.action, app.notes) == (Action.UNCHANGED, ())

    played(main)


def test_going_back_to_what_nobody_knows_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="'77' is not known in staging"):
            await back(World(), to="77")

    played(main)
