"""The built-in leases keep the contract that every kind of leases is held to, and more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from liftlock.errors import Busy
from liftlock.leases.numbered import FRESH_S, KEPT, NumberedLeases
from liftlock.ports import Lease
from liftlock.testing import LeasesContract
from tests.leases.worlds import (
    TTL_S,
    Machine,
    World,
    github_world,
    memory_world,
    postgresql_world,
    sqlite_world,
)
from tests.loops import BothLoops

pytestmark = pytest.mark.promise("P3")


class TestLeases(BothLoops, LeasesContract):
    @pytest.fixture(params=["memory", "sqlite", "postgresql", "github"])
    async def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
        if request.param == "memory":
            async with memory_world() as made:
                yield made
        elif request.param == "sqlite":
            async with sqlite_world(tmp_path) as other:
                yield other
        elif request.param == "postgresql":
            if request.getfixturevalue("anyio_backend") != "asyncio":
                pytest.skip("psycopg speaks asyncio alone")
            async with postgresql_world(request.getfixturevalue("ledger_database")) as served:
                yield served
        else:
            async with github_world() as third:
                yield third

    async def test_a_taker_that_slept_after_its_look_does_not_win_an_old_number(self, world: World) -> None:
        """While it slept, so many leases came and went that its number was given out and removed."""
        first = await world.leases("anna").take("staging", "the first")
        await first.free()
        machine = Machine()
        sleeper = NumberedLeases(
            keeper := world.keeper("ben", machine), machine.boottime, ttl_s=TTL_S, nonce=lambda: "n"
        )
        create = keeper.create
        held: list[Lease] = []

        async def slow(environment: str, number: int, written: object) -> bool:
            if number == 2:
                for _ in range(KEPT + 3):
                    lease = await world.leases("carla").take(environment, "a promotion")
                    await lease.free()
                held.append(await world.leases("carla").take(environment, "the last"))
                machine.passed_s += FRESH_S + 1
            return await create(environment, number, written)  # type: ignore[arg-type]

        keeper.create = slow  # type: ignore[method-assign]
        with pytest.raises(Busy, match="carla holds staging for the last"):
            await sleeper.take("staging", "a promotion")
        await held[0].renew()
