"""One promotion, killed at each of its requests in turn, and then finished or undone by one command.

The simulator's stories meet most of these by chance; here none is left out, and nothing else goes wrong.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from liftlock.errors import LiftlockError
from tests.simulation.actors import CURRENT, Kill
from tests.simulation.errands import Errand
from tests.simulation.shape import Shape
from tests.simulation.simulate import Stage, simulate
from tests.simulation.stacks import Stacks
from tests.simulation.weather import Weather

PLATFORMS = {
    "heroku": Stacks(),
    "swarm": Stacks(apps=("ODB",)),  # its neighbour stays on Heroku
}
MOST = 400
"""More requests than a promotion of three apps takes."""


class Uneventful(random.Random):
    """Nothing is rare enough to happen, and what is chosen is told."""

    def __init__(self, verb: str) -> None:
        super().__init__(0)
        self._verb = verb

    def random(self) -> float:
        return 0.999

    def choice(self, seq: Any) -> Any:
        return self._verb if self._verb in seq else seq[0]


class OneKill(Stage):
    """Ana promotes, and is killed at her n-th request, before it is sent or once it is answered."""

    def __init__(self, seed: int, folder: Path, stacks: Stacks, kill: Kill, verb: str) -> None:
        self._verb = verb
        super().__init__(seed, folder)
        self._kill = kill
        self.shape = Shape(
            apps=("SSO", "ODB"),
            environments=("dev", "staging"),
            ledger="github",
            undo_never=False,
            settle_s=0.0,
            site=True,
            stacks=stacks,
        )
        self.weather = Weather(self.dice("weather"), 0.0, [])

    def dice(self, what: str) -> random.Random:
        return Uneventful(self._verb)

    def _settings(self, cloud: Any, dice: random.Random) -> None:
        cloud.settings.change({"release_s": 1.5, "boot_s": 0.3, "backup_s": 1.0, "clone_s": 0.0})

    async def _chaos(self) -> None:
        async with trio.open_nursery() as self.nursery:
            actor = self._newcomer("ana")
            actor.kill = self._kill
            self.nursery.start_soon(self._acts, actor)

    async def _acts(self, actor: Any) -> None:
        CURRENT.set(actor)
        try:
            with actor.scope:
                await self.run(actor, Errand("promote", "dev", "staging"))
        except* LiftlockError:
            if not actor.dead:  # what a dead one still raises is heard by nobody
                raise
        if actor.dead:
            self.story.counts["kills"] += 1


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", ["resume-finish", "resume-undo"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_wherever_a_promotion_is_killed_it_is_finished_or_undone(platform: str, verb: str) -> None:
    for number in range(1, MOST):
        kill = Kill("before" if number % 2 else "after", number)
        story = simulate(number, partial(OneKill, stacks=PLATFORMS[platform], kill=kill, verb=verb))
        assert not story.broken, story.told()
        assert story.counts["resumed"] <= 1, story.told()
        if not story.counts["kills"]:
            assert story.counts["exit 0"]
            assert number > 50
            return
    raise AssertionError(f"it takes more than {MOST} requests")
