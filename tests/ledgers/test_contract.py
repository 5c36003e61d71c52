"""The built-in ledgers keep the contract that every ledger is held to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from liftlock.testing import LedgerContract
from tests.ledgers.worlds import World, github_world, memory_world, postgresql_world, sqlite_world
from tests.loops import BothLoops


class TestLedgers(BothLoops, LedgerContract):
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
