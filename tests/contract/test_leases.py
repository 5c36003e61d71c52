"""What the leases on GitHub send, and what the sandbox answers."""

from __future__ import annotations

import pytest

from liftlock.errors import Busy
from tests.contract.conftest import Stage

pytestmark = pytest.mark.anyio


async def test_a_lease_s_life_is_as_github_describes_it(stage: Stage) -> None:
    leases = stage.adapters.leases
    assert await leases.holding("staging") is None
    first = await leases.take("staging", "promotion from dev")
    with pytest.raises(Busy):
        await leases.take("staging", "promotion from dev")
    assert await leases.holding("staging") is not None
    await first.write({"step": "release SSO", "marker": "v12"})
    await first.renew()
    await first.free()

    await leases.take("staging", "rollback")
    await leases.break_("staging", "its machine is gone")
    assert {method for method, _ in stage.recorder.seen("github")} >= {"GET", "POST", "PATCH"}
