"""A promotion tells which earlier states are out of reach, and never waits to find out."""

from __future__ import annotations

import anyio
import pytest

from liftlock.engine.outcome import Ending
from liftlock.errors import LiftlockError
from liftlock.model import Located, Missing, Release, Target
from tests.commands.world import World, played
from tests.doubles import release


class Looked(World):
    """Looks for artifacts in a place that may have lost some, or be slow, or break."""

    gone: Release | None = None
    error: Exception | None = None
    takes_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.platform.takes_s["settle"] = 10.0

        async def locate(target: Target, wanted: Release, source: Target | None) -> Located | Missing:
            if source is None:
                await anyio.sleep(self.takes_s)
                if self.error is not None:
                    raise self.error
                if wanted == self.gone:
                    return Missing("its image is in no repository any more")
            return Located(wanted, dict.fromkeys(wanted.artifacts, "target"))

        self.platform.locate = locate  # type: ignore[method-assign, assignment]


def test_an_earlier_state_whose_image_is_gone_is_a_note() -> None:
    async def main() -> None:
        world = Looked()
        world.gone = release("ODB", "a")
        result = await world.run(world.plan)
        assert result.ending is Ending.SUCCEEDED
        assert result.notes == (
            "ODB cannot be taken back to a000000 of 2026-11-20 12:00 UTC: its image is in no repository any more",
        )

    played(main)


@pytest.mark.parametrize("error", [LiftlockError("the registry is away"), ValueError("a defect")])
def test_a_look_that_fails_ends_nothing(error: Exception) -> None:
    async def main() -> None:
        world = Looked()
        world.error = error
        result = await world.run(world.plan)
        assert (result.ending, result.notes) == (Ending.SUCCEEDED, ())

    played(main)


def test_nothing_waits_for_the_look() -> None:
    async def main() -> None:
        elapsed = []
        for takes_s in (0.0, 3600.0):
            world = Looked()
            world.takes_s = takes_s
            began = anyio.current_time()
            assert (await world.run(world.plan)).ending is Ending.SUCCEEDED
            elapsed.append(anyio.current_time() - began)
        assert elapsed[0] == elapsed[1]

    played(main)
