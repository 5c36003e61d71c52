"""A cloud in-process, on trio's virtual clock."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from trio.testing import MockClock

from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from tests.sandbox.serving import OWNER
from tests.sandbox.worlds import COMMITS, WORLD


@pytest.fixture(params=[("trio", {"clock": MockClock(autojump_threshold=0)})], ids=["trio-virtual-clock"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """These tests run on a clock that jumps over every wait."""
    return request.param


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A modelled cloud in memory, running."""
    cloud = Cloud(None, modelled=True)
    async with cloud.running():
        yield cloud


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of `cloud` with the small world."""
    async with httpx2.AsyncClient(
        transport=InProcess(cloud), base_url="http://sandbox.localhost", headers=OWNER, timeout=30
    ) as client:
        assert (await client.put("/_sandbox/world", json=WORLD)).status_code == 200
        assert (
            await client.put("/_sandbox/github/example/services/commits", json=COMMITS)
        ).status_code == 200
        yield client
