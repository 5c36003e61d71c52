"""After a holder that did not give its lease back, nothing is begun before all that it had begun has arrived."""

from __future__ import annotations

import anyio
import pytest

from liftlock.commands.run import QUIET_S, Terms, held
from liftlock.engine.events import Event, Waiting
from liftlock.errors import LiftlockError
from liftlock.model import Known
from tests.commands.world import World, played
from tests.doubles import release


@pytest.mark.promise("P5")
def test_what_a_killed_promotion_had_asked_for_is_not_asked_for_again() -> None:
    """Its release reaches the platform three seconds after its lease was broken."""
    world = World()

    async def main() -> None:
        leases = world.adapters.leases
        await leases.take("staging", "a promotion that is killed")
        await leases.break_("staging", "it was killed")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(arrive)
            result = await world.run(world.plan)
        assert result.exit_code == 0

    async def arrive() -> None:
        await anyio.sleep(3)
        of = release("SSO", "b")
        world.platform.runs["SSO", "staging"] = Known(of.artifacts, marker="v2")

    played(main)
    assert {app for verb, app in world.platform.log if verb == "release"} == {"ODB", "Explore"}


@pytest.mark.promise("P5")
def test_it_is_said_what_is_waited_for_and_no_longer_than_it_must_be() -> None:
    world = World()
    told: list[Event] = []

    async def main() -> None:
        leases = world.adapters.leases
        for asleep_s in (0.0, 2.0, 60.0):
            told.clear()
            await leases.take("staging", "a promotion that is killed")
            await leases.break_("staging", "it was killed")
            await anyio.sleep(asleep_s)
            began = anyio.current_time()
            async with held(leases, "staging", Terms("a test"), told.append) as lease:
                await lease()
            waited_s = anyio.current_time() - began
            assert waited_s == pytest.approx(max(QUIET_S - asleep_s, 0.0), abs=0.1)
            waits = [event for event in told if isinstance(event, Waiting)]
            assert len(waits) == (waited_s > 0)
            assert all("staging did not give it back" in wait.why for wait in waits)

    played(main)


@pytest.mark.promise("P5")
def test_who_gives_up_meanwhile_does_not_let_the_next_one_in_at_once() -> None:
    world = World()
    leases = world.adapters.leases

    async def refused() -> None:
        async with held(leases, "staging", Terms("a test"), lambda _: None):
            await anyio.sleep(1)
            raise LiftlockError("a gate refused")

    async def main() -> None:
        await leases.take("staging", "a promotion that is killed")
        await leases.break_("staging", "it was killed")
        began = anyio.current_time()
        with pytest.raises(LiftlockError, match="a gate refused"):
            await refused()
        async with held(leases, "staging", Terms("a test"), lambda _: None) as lease:
            await lease()
        assert anyio.current_time() - began >= QUIET_S

    played(main)


@pytest.mark.promise("P5")
def test_what_a_killed_promotion_journaled_survives_one_that_is_refused() -> None:
    world = World()

    async def main() -> None:
        leases = world.adapters.leases
        killed = await leases.take("staging", "a promotion that is killed")
        await killed.write({"promotion": "17", "backups": []})
        await leases.break_("staging", "it was killed")
        with pytest.raises(LiftlockError, match="stands open"):
            async with held(leases, "staging", Terms("a test"), lambda _: None):
                raise LiftlockError("promotion 17 stands open")
        assert list(await leases.journal("staging")) == [{"promotion": "17", "backups": []}]

    played(main)


def test_after_one_that_gave_it_back_nobody_waits() -> None:
    world = World()

    async def main() -> None:
        began = anyio.current_time()
        for _ in range(3):
            async with held(world.adapters.leases, "staging", Terms("a test"), lambda _: None) as lease:
                await lease()
        assert anyio.current_time() == began

    played(main)
