"""History: who put what where, when, from where, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from liftlock.commands.names import check_names
from liftlock.model import Deployment, Intent, Project
from liftlock.ports import Adapters
from liftlock.tasks import Background, all_at_once


@dataclass(frozen=True, slots=True)
class Entry:
    """A promotion, rollback or deploy of ours, or a record that another tool made."""

    at: datetime
    environment: str
    intent: Intent | None = None
    deployment: Deployment | None = None


async def read_history(
    project: Project, adapters: Adapters, environment: str | None, limit: int
) -> Sequence[Entry]:
    """The newest `limit` entries, newest first, of one environment or of all."""
    if environment is not None:
        check_names(project, (environment,))
    environments = [environment] if environment else list(project.environments)
    async with all_at_once() as tasks:
        intents = Background(tasks, adapters.ledger.intents, environment, limit)
        records = [
            Background(tasks, adapters.ledger.deployments, e, app, limit)
            for e in environments
            for app in project.apps
        ]
    entries = [Entry(i.created_at, i.environment, intent=i) for i in await intents.result()]
    for found in records:
        entries += [
            Entry(d.created_at, d.environment, deployment=d) for d in await found.result() if not d.promotion
        ]
    entries.sort(key=lambda e: e.at, reverse=True)
    return entries[:limit]
