"""A command app's own programs: `status`, `apply` and `undo` of migrations that count up to the commit's version.

They are played, not started: a process takes real time. What they do they do at their end, and whoever
is killed meanwhile takes them along, as `programs.run` does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel

from liftlock.model import Release, Target
from liftlock.platforms.command import NOTHING_TO_DO, WORK_TO_DO, Command, _commit
from liftlock.programs import Outcome
from tests.simulation.actors import Actor
from tests.simulation.weather import Weather
from tests.simulation.world import World, version_of

STATUS_S = 0.2

Judge = Callable[[Actor, str, str, int], Callable[[bool], None]]
"""Hears that somebody takes an environment to a level, and gives what hears how it ended."""


class Played(Command):
    """`platforms.command` with programs that are played."""

    def __init__(self, real: Command, world: World, actor: Actor, weather: Weather, judge: Judge) -> None:
        super().__init__(real._context)
        self._world = world
        self._actor = actor
        self._weather = weather
        self._judge = judge

    async def _checkout(self, target: Target, commit: str) -> Path:
        await anyio.sleep(0.1)
        return Path(self._context.project.root)

    async def _run(self, target: Target, release: Release, verb: str) -> Outcome:
        actor = self._actor
        version, environment = version_of(_commit(release)), target.environment
        levels = self._world.levels
        number = actor.begin_request()
        actor._befalls("before", number)
        await actor._awake()
        if verb == "status":
            await anyio.sleep(STATUS_S)
            if self._weather.fails_program():
                return Outcome(1, ("it cannot be told",))
            return Outcome(NOTHING_TO_DO if levels[environment] >= version else WORK_TO_DO, ())
        goal = version if verb == "apply" else self._world.levels_before.get((environment, version), 1)
        ended = self._judge(actor, target.app, environment, goal)
        await anyio.sleep(self._world.apply_s)
        await actor._awake()
        if actor.dead:
            return Outcome(None, ())
        fails, has_effect = self._weather.fails_program(), self._weather.dice.random() < 0.5
        if not fails or has_effect:
            if verb == "apply":
                self._world.levels_before[environment, version] = levels[environment]
            levels[environment] = goal
        actor._befalls("after", number)
        await anyio.lowlevel.checkpoint()
        ended(not fails)
        return Outcome(1 if fails else 0, (f"{verb} of {version}",))
