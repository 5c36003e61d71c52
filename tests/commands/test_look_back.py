"""A plan tells which earlier states are out of reach, before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from liftlock.commands.look_back import LIMIT_S
from liftlock.errors import LiftlockError
from liftlock.model import Located, Missing, Release, Target
from tests.commands.world import World, played
from tests.doubles import release


class Looked(World):
    """Looks for artifacts in a place that may have lost some, or be slow, or break."""

    gone: Sequence[Release] = ()
    error: Exception | None = None
    takes_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()

        async def locate(target: Target, wanted: Release, source: Target | None) -> Located | Missing:
            if source is None:
                await anyio.sleep(self.takes_s)
                if self.error is not None:
                    raise self.error
                if wanted in self.gone:
                    return Missing("its image is in no repository any more")
            return Located(wanted, dict.fromkeys(wanted.artifacts, "target"))

        self.platform.locate = locate  # type: ignore[method-assign, assignment]


def test_an_earlier_state_whose_image_is_gone_is_told_before_anything_is_changed() -> None:
    async def main() -> None:
        world = Looked()
        world.gone = [release("ODB", "a"), release("ODB", "0")]
        world.put("ODB", "0", -60, 90)
        plan = await world.plan()
        assert plan.apps["ODB"].notes == (
            "it cannot be taken back to a000000 of 2026-11-20 12:00 UTC: its image is in no repository any more",
            "it cannot be taken back to 0000000 of 2026-11-20 11:00 UTC: its image is in no repository any more",
        )
        assert plan.apps["SSO"].notes == ()
        assert world.platform.log == []
        before = plan.digest
        world.gone = []
        assert (await world.plan()).digest == before  # an approval still stands

    played(main)


def test_what_is_not_switched_is_not_looked_at() -> None:
    async def main() -> None:
        world = Looked()
        world.gone = [release("ODB", "b")]
        await world.run(world.plan)
        plan = await world.plan()
        assert plan.changes == ()
        assert plan.apps["ODB"].notes == ()

    played(main)


@pytest.mark.parametrize("error", [LiftlockError("the registry is away"), ValueError("a defect")])
def test_a_look_that_fails_is_told_and_ends_nothing(error: Exception) -> None:
    async def main() -> None:
        world = Looked()
        world.error = error
        plan = await world.plan()
        assert all("could not be told" in note for app in plan.releases for note in app.notes)
        assert len(plan.releases) == 3

    played(main)


def test_a_plan_does_not_wait_for_ever() -> None:
    async def main() -> None:
        world = Looked()
        world.takes_s = 3600.0
        began = anyio.current_time()
        plan = await world.plan()
        assert anyio.current_time() - began == LIMIT_S
        assert "could not be told within 10 s" in plan.apps["ODB"].notes[0]

    played(main)
