"""Deliberately broken variants of the engine. Each must be caught: a judge that lets one pass judges nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from liftlock.commands import resume
from liftlock.engine import run as engine_run
from liftlock.engine.guard import Guard
from liftlock.engine.run import Run
from liftlock.engine.way_back import Standing, WayBack
from liftlock.ledgers import github as github_ledger
from liftlock.model import ImageId
from liftlock.planning import make
from liftlock.planning.plan import StepKind
from liftlock.shelf.images import Find, Shelf

Mutation = Callable[[], Any]


def barrier_forgets_backups() -> Any:
    """P2: releases do not wait for the backups."""
    original = make._steps

    def steps(*given: Any) -> Any:
        kept = []
        for step in original(*given):
            if step.kind in {StepKind.READY, StepKind.JOURNAL}:
                step = dataclasses.replace(
                    step, needs=tuple(n for n in step.needs if not n.startswith("backup:"))
                )
            kept.append(step)
        return tuple(kept)

    return patch.object(make, "_steps", steps)


def backups_of_long_ago_count() -> Any:
    """P2: a backup from before an earlier promotion counts."""
    original = Run.__init__

    def init(self: Run, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        self._backups_since = self._backups_since.replace(year=2000)

    return patch.object(Run, "__init__", init)


def records_before_verifying() -> Any:
    """P1: an app is recorded as soon as it is switched."""

    async def verify(self: Run, app: str, progress: Any) -> str:
        return "healthy"

    return patch.object(Run, "_verify", verify)


def guard_never_refuses() -> Any:
    """P3: a lease that is lost stops nobody."""

    async def before_change(self: Guard) -> None:
        return

    async def keep(self: Guard) -> None:
        return

    return patch.multiple(Guard, before_change=before_change, keep=keep)


def nothing_is_undone() -> Any:
    """P4: what was switched stays so, and the run says that all is as before."""

    async def restore(self: WayBack, apps: Any) -> Any:
        return {each.app: Standing.OLD for each in apps}

    return patch.object(WayBack, "restore", restore)


def undo_does_not_look() -> Any:
    """P4: undo believes that everything is old, without looking."""

    async def look(self: WayBack, apps: Any) -> Any:
        return {each.app: Standing.OLD for each in apps}

    return patch.object(WayBack, "look", look)


def resume_ignores_the_journal() -> Any:
    """P5: a second backup of a database is taken for the same promotion."""
    original = Run.__init__

    def init(self: Run, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        if named.get("intent") is not None:
            self._backups_since = given[2].clock.now()

    return _both(
        patch.object(resume, "journaled_backups", lambda intent, journal: []),
        patch.object(Run, "__init__", init),
    )


def records_are_made_again() -> Any:
    """P5: a resumed promotion does not look for the records that it has made."""
    original = github_ledger.GitHubLedger.record

    async def record(self: Any, new: Any, intent: Any) -> Any:
        self._own.add(intent.id)
        return await original(self, new, intent)

    return patch.object(github_ledger.GitHubLedger, "record", record)


def located_by_tag() -> Any:
    """P6: whatever stands under the commit's tag is taken for what was recorded."""

    async def look_up(self: Shelf, repository: str, reference: str, artifact: Any, where: str) -> Find:
        image = await self.images.look_up(repository, reference)
        return Find(ImageId(image.image_id.value), where, image) if image else Find()

    return patch.object(Shelf, "_look_up", look_up)


def token_in_a_record() -> Any:
    """P7: the token stands in the description of every record."""
    original = Run._record

    async def record(self: Run, app: str) -> str:
        with patch.object(engine_run, "_origin", lambda plan: f"by {token_of(self)}"):
            return await original(self, app)

    def token_of(run: Run) -> str:
        name = run._adapters.clock
        return str(getattr(name, "token", ""))

    return patch.object(Run, "_record", record)


class _both:  # noqa: N801
    def __init__(self, *patches: Any) -> None:
        self._patches = patches

    def __enter__(self) -> None:
        for each in self._patches:
            each.__enter__()

    def __exit__(self, *how: object) -> None:
        for each in self._patches:
            each.__exit__(*how)


def _promise(mutant: Mutation) -> str:
    return (mutant.__doc__ or "")[:2]


FIRST_SEEDS: dict[Mutation, int] = {
    barrier_forgets_backups: 1,
    backups_of_long_ago_count: 2,
    records_before_verifying: 3,
    nothing_is_undone: 3,
    undo_does_not_look: 3,
    resume_ignores_the_journal: 12,
    located_by_tag: 1,
    token_in_a_record: 2,
}
"""The seed that was the first to catch each; the search begins there, as stories change with the sandbox."""
NOT_CAUGHT = (guard_never_refuses, records_are_made_again)
"""docs/explanation/simulation.md says why; kept for whoever sharpens the judge."""
MUTANTS: dict[str, tuple[str, Mutation]] = {
    each.__name__: (_promise(each), each) for each in (*FIRST_SEEDS, *NOT_CAUGHT)
}
