from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Both event loops; trio's clock is virtual, so that waiting costs nothing."""
    if request.param == "asyncio":
        return "asyncio"
    from trio.testing import MockClock

    return "trio", {"clock": MockClock(autojump_threshold=0)}
