"""After a change by hand, `record` writes what really runs, and nothing else."""

from __future__ import annotations

import pytest

from liftlock.commands.record import plan_record
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.status import Cell, look_at
from liftlock.engine.outcome import Ending
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Deployment, Kind, Known, Unknown
from liftlock.planning.observation import Drift
from liftlock.planning.plan import Action, Plan
from tests.commands.world import World, played
from tests.doubles import crash, image, release


async def recorded(world: World, *apps: str, commit: str = "") -> Plan:
    return await plan_record(world.project, world.adapters, "staging", apps, commit)


async def current(world: World, app: str = "SSO") -> Deployment:
    found = (await world.ledger.read("staging", [app]).recorded())[app].current
    assert found is not None
    return found


async def cell(world: World, app: str = "SSO") -> Cell:
    return (await look_at(world.project, world.adapters, ["staging"])).cells[app, "staging"]


@pytest.mark.promise("P1")
def test_what_was_released_by_hand_is_recorded_at_the_commit_of_the_record_that_names_it() -> None:
    async def main() -> None:
        world = World()
        by_hand = release("SSO", "b")  # as dev records it
        world.platform.runs["SSO", "staging"] = Known(by_hand.artifacts, marker="v7")
        assert (await cell(world)).drift is Drift.DRIFT
        plan = await recorded(world)
        assert {a.app: a.action for a in plan.apps.values()} == {
            "SSO": Action.RECORD,
            "ODB": Action.UNCHANGED,
            "Explore": Action.UNCHANGED,
        }
        assert plan.apps["SSO"].notes == ("its commit is that of record 100 in dev",)
        result = await world.run(lambda: recorded(world))
        assert result.ending is Ending.SUCCEEDED
        now = await current(world)
        assert (now.release, now.kind) == (by_hand, Kind.RECORD)
        assert (await cell(world)).drift is Drift.NONE
        verbs = {verb for verb, _ in world.platform.log}
        assert verbs == {"settle", "settle done"}  # seen healthy, and nothing switched

    played(main)


@pytest.mark.promise("P1")
def test_what_is_not_healthy_is_not_recorded() -> None:
    async def main() -> None:
        world = World()
        world.platform.runs["SSO", "staging"] = Known(release("SSO", "b").artifacts, marker="v7")
        world.platform.fails["settle", "SSO"] = crash("SSO")
        before = await current(world)
        result = await world.run(lambda: recorded(world))
        assert result.ending is Ending.FAILED
        assert await current(world) == before
        assert ("restore", "SSO") not in world.platform.log

    played(main)


def test_a_missing_process_type_is_drift_and_is_recorded_at_the_recorded_commit() -> None:
    async def main() -> None:
        world = World()
        whole = release("SSO", "c", ("web", "worker"))
        world.put("SSO", "c", 30, 300)
        world.ledger._records["staging", "SSO"][-1] = _with(world, whole)
        world.platform.runs["SSO", "staging"] = Known({"web": whole.artifacts["web"]}, marker="v7")
        seen = await cell(world)
        assert (seen.drift, seen.difference) == (Drift.DRIFT, "worker is missing")
        await world.run(lambda: recorded(world))
        now = await current(world)
        assert (now.release.commit, set(now.release.artifacts)) == (whole.commit, {"web"})

    played(main)


def _with(world: World, whole: object) -> Deployment:
    from dataclasses import replace

    return replace(world.ledger._records["staging", "SSO"][-1], release=whole)  # type: ignore[arg-type]


def test_an_image_that_no_record_names_needs_its_commit_said() -> None:
    async def main() -> None:
        world = World()
        world.platform.runs["SSO", "staging"] = Known({"web": image("by hand")}, marker="v7")
        plan = await recorded(world)
        (blocked,) = plan.blocked
        assert "no record names what runs (web " in blocked.why
        assert blocked.hint == "Say it: liftlock record staging SSO --commit SHA"
        with pytest.raises(UsageError, match="belongs to the apps"):
            await recorded(world, commit="f")
        with pytest.raises(UsageError, match="no commit unknown"):
            await recorded(world, "SSO", commit="unknown")
        await world.run(lambda: recorded(world, "SSO", commit="f"))
        assert (await current(world)).release.commit == "f".ljust(40, "0")

    played(main)


def test_nothing_is_recorded_where_what_runs_is_unknown_or_nothing_runs() -> None:
    async def main() -> None:
        world = World()
        world.platform.runs["SSO", "staging"] = Unknown("Heroku does not say")  # type: ignore[assignment]
        world.platform.runs["ODB", "staging"] = Known({})
        blocked = {a.app: a.why for a in (await recorded(world)).blocked}
        assert blocked == {
            "SSO": "what runs could not be told (Heroku does not say)",
            "ODB": "nothing runs there, and the ledger records what runs",
        }
        assert not (await recorded(world, "Explore")).blocked

    played(main)


def test_what_changes_while_it_is_looked_at_is_not_recorded() -> None:
    async def main() -> None:
        world = World()
        world.platform.runs["SSO", "staging"] = Known(release("SSO", "b").artifacts, marker="v7")
        seen = world.platform.running
        looks: list[str] = []

        async def moving(target: object, expected: object) -> object:
            looks.append(getattr(target, "app", ""))
            if looks.count("SSO") > 1:
                world.platform.runs["SSO", "staging"] = Known({"web": image("again")}, marker="v8")
            return await seen(target, expected)  # type: ignore[arg-type]

        world.platform.running = moving  # type: ignore[method-assign, assignment]
        with pytest.raises(LiftlockError, match="changed while it was looked at: SSO"):
            await recorded(world)

    played(main)


def test_a_rollback_after_a_record_goes_back_before_the_last_promotion() -> None:
    async def main() -> None:
        world = World()
        old = {app: await current(world, app) for app in world.project.apps}
        assert (await world.run(world.plan)).ending is Ending.SUCCEEDED
        world.platform.runs["SSO", "staging"] = Known(old["SSO"].release.artifacts, marker="v7")
        await world.run(lambda: recorded(world))
        plan = await plan_rollback(world.project, world.adapters, "staging")
        assert {a.app: a.release for a in plan.apps.values()} == {app: d.release for app, d in old.items()}
        assert plan.apps["SSO"].action is Action.UNCHANGED

    played(main)


def scale(world: World, processes: int) -> None:
    before = world.platform.runs["SSO", "staging"]
    note = "" if processes else "scaled to zero: web"
    world.platform.runs["SSO", "staging"] = Known(
        before.artifacts, scale={"web": processes}, marker="v2", note=note
    )


def test_a_type_at_zero_is_a_note_where_no_record_says_that_it_had_processes() -> None:
    async def main() -> None:
        world = World()
        scale(world, 0)
        seen = await cell(world)
        assert (seen.drift, seen.difference, seen.note) == (Drift.NONE, "", "scaled to zero: web")

    played(main)


def test_a_type_scaled_to_zero_since_it_was_recorded_is_drift_until_that_is_recorded_too() -> None:
    async def main() -> None:
        world = World()
        scale(world, 1)
        assert (await world.run(world.plan)).ending is Ending.SUCCEEDED
        assert (await current(world)).awake == ("web",)
        scale(world, 0)
        seen = await cell(world)
        assert (seen.drift, seen.difference) == (Drift.DRIFT, "web is scaled to zero")
        plan = await recorded(world)
        assert (plan.apps["SSO"].action, plan.apps["SSO"].why) == (
            Action.RECORD,
            "scaled to zero since it was recorded: web",
        )
        await world.run(lambda: recorded(world))
        assert (await current(world)).awake == ()
        assert (await cell(world)).drift is Drift.NONE

    played(main)


def test_a_promotion_leaves_a_type_at_zero_and_records_it_so() -> None:
    async def main() -> None:
        world = World()
        scale(world, 1)
        await world.run(world.plan)
        scale(world, 0)
        world.put("SSO", "c", 30, 200, "dev")
        plan = await world.plan()
        assert (plan.apps["SSO"].asleep, plan.refusals) == (("web",), ())
        await world.run(world.plan)
        assert (await current(world)).awake == ()

    played(main)
