"""Tests that hold on both event loops."""

from __future__ import annotations

import pytest


class BothLoops:
    """Inherit from it before a contract. Trio's clock is virtual, so that waiting costs nothing."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> object:
        if request.param == "asyncio":
            return "asyncio"
        from trio.testing import MockClock

        return "trio", {"clock": MockClock(autojump_threshold=0)}
