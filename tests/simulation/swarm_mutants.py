"""Deliberately broken variants of the swarm's adapter, to be caught like those of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

from liftlock.errors import ReleaseFailed
from liftlock.platforms.swarm import switch
from liftlock.platforms.swarm.api import Swarm
from liftlock.platforms.swarm.jobs import Phase
from liftlock.platforms.swarm.settle import Settling


def tasks_are_not_looked_at() -> Any:
    """P1: a stack is healthy as soon as its services were changed."""

    async def run(self: Settling, settle_s: float) -> None:
        return

    return patch.object(Settling, "run", run)


@contextmanager
def released_after_a_failed_migration() -> Iterator[None]:
    """P4: services are changed though their migration failed."""
    original = Phase.run

    async def run(self: Phase, template: Any, *given: Any) -> Any:
        try:
            return await original(self, template, *given)
        except ReleaseFailed:
            return template

    async def forget(self: switch.Switcher, jobs: Any) -> None:
        return

    with patch.object(Phase, "run", run), patch.object(switch.Switcher, "_forget", forget):
        yield


def undo_forgets_variables() -> Any:
    """P4: a service is given its earlier image, and loses its environment variables."""
    original = Swarm.update

    async def update(self: Swarm, service: Any, spec: Any, auth: Any, *, roll_back: bool = False) -> None:
        if roll_back:
            spec = deepcopy(dict(spec))
            spec["TaskTemplate"]["ContainerSpec"].pop("Env", None)
        await original(self, service, spec, auth)

    return patch.object(Swarm, "update", update)


FIRST_SEEDS = {tasks_are_not_looked_at: 2, released_after_a_failed_migration: 123, undo_forgets_variables: 16}
"""A seed that caught each."""
