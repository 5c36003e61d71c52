"""Each test twice: modelled in-process on trio's virtual clock, and real processes behind a TCP port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from tests.sandbox.heroku_client import Heroku, client_of
from tests.sandbox.serving_real import serving


@pytest.fixture(
    params=[("trio", {"clock": MockClock(autojump_threshold=0)}), ("asyncio", {})], ids=["modelled", "real"]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def heroku(
    anyio_backend_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Heroku]:
    """The app odb-dev; not made yet."""
    if anyio_backend_name == "trio":
        cloud = Cloud(None, modelled=True)
        async with cloud.running(), client_of("http://sandbox.localhost", InProcess(cloud)) as client:
            yield Heroku(client)
    else:
        monkeypatch.setenv("LIFTLOCK_SANDBOX_RUNTIME", "process")
        with serving(tmp_path / "state") as base:
            async with client_of(base) as client:
                yield Heroku(client)
