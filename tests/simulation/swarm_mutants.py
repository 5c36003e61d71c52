"""Deliberately broken variants of what serves apps on a swarm, to be caught like those of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

from liftlock.databases import postgres
from liftlock.errors import ReleaseFailed
from liftlock.model import Backup, Database
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


def dumps_of_others_count() -> Any:
    """P2: a dump that was taken for another promotion counts."""
    original = postgres._read_all

    def read_all(folder: Path, database: Database, promotion: str = "") -> list[Backup]:
        return original(folder, database)

    return patch.object(postgres, "_read_all", read_all)


def dumps_are_taken_again() -> Any:
    """P5: nobody looks whether a promotion has a dump already."""
    original = postgres._read_all

    def read_all(folder: Path, database: Database, promotion: str = "") -> list[Backup]:
        return [] if promotion else original(folder, database)

    return patch.object(postgres, "_read_all", read_all)


FIRST_SEEDS = {
    tasks_are_not_looked_at: 2,
    released_after_a_failed_migration: 123,
    undo_forgets_variables: 16,
    dumps_of_others_count: 31,
    dumps_are_taken_again: 28,
}
"""A seed that caught each."""
