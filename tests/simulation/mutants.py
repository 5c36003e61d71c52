"""Deliberately broken variants of the engine. Each must be caught: a judge that lets one pass judges nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from liftlock.commands import promote, restore, resume
from liftlock.databases.heroku_postgres import HerokuPostgres
from liftlock.engine.guard import Guard
from liftlock.engine.records import Records
from liftlock.engine.run import Run
from liftlock.engine.way_back import Standing, WayBack
from liftlock.leases.record import Written
from liftlock.ledgers import github as github_ledger
from liftlock.ledgers.github_deployments import Deployments
from liftlock.model import ImageId, SiteVersion
from liftlock.planning import gates, make
from liftlock.planning.gates import people
from liftlock.planning.plan import Action, StepKind
from liftlock.platform_images.images import Find, PlatformImages
from liftlock.platforms.firebase.platform import Firebase
from liftlock.platforms.heroku.observe import Watch
from tests.simulation import swarm_mutants

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

    async def before_change(self: Guard, *given: Any) -> None:
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


def lost_answers_are_repeated() -> Any:
    """P5: a record whose answer was lost is made again, without looking whether it stands there."""
    original = Deployments.create

    async def nothing() -> None:
        return None

    async def create(self: Deployments, repository: str, body: Any, find: Any, *given: Any) -> Any:
        return await original(self, repository, body, nothing, *given)

    return patch.object(Deployments, "create", create)


def records_are_made_again() -> Any:
    """P5: a resumed promotion does not look for the records that it has made."""
    make_plan, decide, record = make.make_plan, make._decide, github_ledger.GitHubLedger.record

    def decided(*given: Any) -> Any:
        action, why = decide(*given)
        return (Action.RECORD if action is Action.UNCHANGED else action), why

    def planned(*given: Any, **named: Any) -> Any:
        with patch.object(make, "_decide", decided):
            return make_plan(*given, **named)

    async def recorded(self: Any, new: Any, intent: Any) -> Any:
        self._own.add(intent.id)
        return await record(self, new, intent)

    return _both(
        patch.object(resume, "make_plan", planned),
        patch.object(github_ledger.GitHubLedger, "record", recorded),
    )


def leases_are_taken_from_the_living() -> Any:
    """P3: whoever asks for a lease is given it."""
    return patch.object(Written, "is_held", lambda self, now: False)


def health_is_not_asked() -> Any:
    """P1: a web that answers 500 is well."""

    async def ailment(self: Watch) -> str:
        return ""

    return patch.object(Watch, "ailment", ailment)


def what_is_live_is_lifted() -> Any:
    """P6: of a site, what is live in the source is lifted, and not what is recorded there."""
    original = Firebase.stage

    async def stage(self: Firebase, target: Any, located: Any, source: Any, progress: Any) -> Any:
        if source is not None:
            live = SiteVersion((await self._hosting.live(source.name)).version)
            release = dataclasses.replace(located.release, artifacts={"site": live})
            located = dataclasses.replace(located, release=release)
        return await original(self, target, located, source, progress)

    return patch.object(Firebase, "stage", stage)


def gates_are_not_asked() -> Any:
    """gate: a plan runs whatever its gates say."""

    async def gated(project: Any, adapters: Any, plan: Any, *given: Any, **named: Any) -> Any:
        return dataclasses.replace(plan, verdicts=())

    return patch.object(promote, "gated", gated)


def own_approvals_count() -> Any:
    """gate: whoever promotes may approve it."""
    original = people.approvals

    def approvals(needed: int, facts: Any, now: Any) -> Any:
        return original(needed, dataclasses.replace(facts, requester="somebody else"), now)

    return patch.object(gates, "approvals", approvals)


def restored_over_what_stands() -> Any:
    """P2: a database is restored, and what stood is not backed up before."""

    async def capture(self: HerokuPostgres, database: Any, *given: Any) -> Any:
        return (await self.backups(self._context.project.apps[database.app].targets[database.environment]))[0]

    original = restore._restore

    async def restored(*given: Any) -> Any:
        with patch.object(HerokuPostgres, "capture", capture):
            return await original(*given)

    return patch.object(restore, "_restore", restored)


def located_by_tag() -> Any:
    """P6: whatever stands under the commit's tag is taken for what was recorded."""

    async def look_up(
        self: PlatformImages, repository: str, reference: str, artifact: Any, where: str
    ) -> Find:
        image = await self.images.look_up(repository, reference)
        return Find(ImageId(image.image_id.value), where, image) if image else Find()

    return patch.object(PlatformImages, "_look_up", look_up)


def token_in_a_record() -> Any:
    """P7: the token stands in the description of every record."""
    original = Records.record

    async def record(self: Records, *given: Any) -> Any:
        self._origin = f"by {getattr(self._adapters.clock, 'token', '')}"
        return await original(self, *given)

    return patch.object(Records, "record", record)


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
    return (mutant.__doc__ or "").partition(":")[0]


FIRST_SEEDS: dict[Mutation, int] = {
    health_is_not_asked: 3,
    records_before_verifying: 2,
    barrier_forgets_backups: 2,
    backups_of_long_ago_count: 3,
    guard_never_refuses: 37,
    leases_are_taken_from_the_living: 3,
    nothing_is_undone: 3,
    undo_does_not_look: 2,
    resume_ignores_the_journal: 11,
    lost_answers_are_repeated: 210,
    located_by_tag: 5,
    token_in_a_record: 2,
    gates_are_not_asked: 2,
    own_approvals_count: 8,
    **swarm_mutants.FIRST_SEEDS,
}
"""A seed that caught each; the search begins there, as stories change with the sandbox."""
LOOKED_FOR = (records_are_made_again, what_is_live_is_lifted, restored_over_what_stands)
"""Their stories are rare: looked for by hand, and not in the tests."""
MUTANTS: dict[str, tuple[str, Mutation]] = {
    each.__name__: (_promise(each), each) for each in (*FIRST_SEEDS, *LOOKED_FOR)
}
