"""An order that is performed again: by a second worker, after the first one died, or for no reason at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest

from liftlock.engine.execute import StopRequest
from liftlock.model import Kind, State
from liftlock.ports import Adapters, NewIntent
from liftlock.web.work.orders import Order, OrderKind
from liftlock.web.work.perform import Performed, Turn, perform
from tests.commands.world import World
from tests.doubles import release

pytestmark = pytest.mark.anyio

ORDER = Order(OrderKind.PROMOTION, "staging", "ana", source="dev")


async def performed(world: World, order: Order = ORDER, wait_s: float = 0.0) -> Performed:
    @asynccontextmanager
    async def opened(account: str) -> AsyncIterator[Adapters]:
        yield world.adapters

    def tell(event: Mapping[str, Any]) -> None: ...

    turn = Turn("item-1", world.adapters.clock.now() - timedelta(minutes=1), wait_s)
    return await perform(world.project, opened, order, tell, StopRequest(), turn)


@pytest.mark.promise("P5")
async def test_what_has_ended_is_told_and_not_done_again() -> None:
    world = World()
    first = await performed(world)
    again = await performed(world)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert again.result["promotion"] == first.result["promotion"]
    assert again.result["ending"] == "succeeded"
    (intent,) = await world.ledger.intents("staging", 5)
    assert (intent.key, intent.state) == ("item-1", State.SUCCESS)


async def test_a_worker_that_was_taken_for_dead_ends_its_run_and_nobody_repeats_it() -> None:
    world = World()
    begun = await world.ledger.open_intent(
        NewIntent("item-1", Kind.PROMOTION, "staging", "dev", "5" * 64, {"SSO": release("SSO", "b")}, {}, {})
    )
    lease = await world.adapters.leases.take("staging", "promotion from dev")
    found: list[Performed] = []

    async def second() -> None:
        found.append(await performed(world, wait_s=60.0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        await world.ledger.close_intent(begun, State.SUCCESS, "it went all the same")
        await lease.free()
    assert found[0].exit_code == 0
    assert found[0].result["notes"] == ["it went all the same"]


async def test_an_order_waits_for_whoever_holds_the_environment_and_no_longer_than_it_may() -> None:
    world = World()
    lease = await world.adapters.leases.take("staging", "a promotion")
    done = await performed(world)
    assert done.exit_code == 4
    assert "holds staging for a promotion" in done.result["error"]["message"]
    await lease.free()
    assert (await performed(world)).exit_code == 0
