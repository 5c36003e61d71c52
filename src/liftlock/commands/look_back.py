"""Look whether an environment's last states could still be gone back to.

It runs beside a promotion, while that stages its artifacts, and nothing waits for it: what a
registry or a site has expired is a note, not a failure. What it cannot look at it does not tell.
"""

from __future__ import annotations

from liftlock.errors import LiftlockError
from liftlock.model import Kind, Missing, Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import all_at_once

STATES = 2
"""How many of the newest states of each app are looked at: what runs, and what ran before it."""
_RECORDS = 4
"""Of so many records enough will have succeeded."""


async def look_back(project: Project, adapters: Adapters, plan: Plan, notes: list[str]) -> None:
    """Add a note to `notes` for every state of the plan's apps whose artifacts are gone."""
    if plan.kind is not Kind.PROMOTION:
        return

    async def look(app: str) -> None:
        try:
            notes.extend(await _gone(project, adapters, plan.environment, app))
        except Exception:  # noqa: BLE001 (a task's edge: a look must not end the promotion beside it)
            return

    async with all_at_once() as tasks:
        for planned in plan.releases:
            tasks.start_soon(look, planned.app)


async def _gone(project: Project, adapters: Adapters, environment: str, app: str) -> list[str]:
    target = project.apps[app].targets[environment]
    platform = adapters.platforms[target.platform]
    records = await adapters.ledger.deployments(environment, app, _RECORDS)
    gone = []
    for record in [r for r in records if r.counts and r.release.artifacts][:STATES]:
        try:
            found = await platform.locate(target, record.release, None)
        except LiftlockError:
            continue
        if isinstance(found, Missing):
            when = f"{record.release.short_commit} of {record.created_at:%Y-%m-%d %H:%M} UTC"
            gone.append(f"{app} cannot be taken back to {when}: {found.reason}")
    return gone
