"""What notifiers are told of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import quote

from liftlock.errors import LiftlockError, ours
from liftlock.model import Backup, Intent, Kind, Project
from liftlock.planning.plan import AppPlan
from liftlock.ports import Adapters, Announcement, AppLine, Notifier


def origin(kind: Kind, source: str, environment: str) -> str:
    """What a run is for, in a few words: promotion from dev to staging."""
    match kind:
        case Kind.PROMOTION:
            return f"promotion from {source} to {environment}"
        case Kind.ROLLBACK:
            return f"rollback in {environment}"
        case Kind.DEPLOY:
            return f"deploy to {environment}"
        case Kind.RECORD:
            return f"record of what runs in {environment}"


def announcement(
    project: Project,
    intent: Intent,
    outcome: str,
    duration_s: float,
    lines: Sequence[AppLine],
    backups: Sequence[Backup],
    notes: Sequence[str],
) -> Announcement:
    """One message that says how a run ended."""
    return Announcement(
        title=f"{project.name}: {origin(intent.kind, intent.source, intent.environment)}",
        outcome=outcome,
        environment=intent.environment,
        source=intent.source,
        who=intent.creator,
        duration_s=duration_s,
        lines=tuple(lines),
        backups=tuple(sorted(backups, key=lambda b: b.app)),
        notes=(*(f"{gate} was overridden: {why}" for gate, why in intent.overrides.items()), *notes),
        url=page_of(project, intent),
    )


def page_of(project: Project, intent: Intent) -> str:
    """Where people can look at a run: at the project's own server, else at the ledger; "" where there is neither."""
    if project.serve.url and intent.id:
        return f"{project.serve.url.rstrip('/')}/promotions/{quote(intent.id, safe='')}"
    return intent.url


async def app_lines(project: Project, adapters: Adapters, apps: Sequence[AppPlan]) -> list[AppLine]:
    """A line for each app that a plan changes, with a link to what changed in it."""
    lines = []
    for planned in apps:
        if planned.release is None:
            continue
        old = planned.replaces.release.commit if planned.replaces else ""
        new, url = planned.release.commit, ""
        if old and old != new:
            with suppress(LiftlockError):  # a message without a link tells the same
                url = await adapters.source_code.compare_url(project.apps[planned.app].repository, old, new)
        lines.append(AppLine(planned.app, planned.action, new, url))
    return lines


async def tell(notifiers: Sequence[Notifier], message: Announcement, note: Callable[[str], None]) -> None:
    """Tell every notifier. One that fails is noted, and changes nothing in how the run ended."""
    for notifier in notifiers:
        try:
            with ours(f"notify:{notifier.name}"):
                await notifier.announce(message)
        except LiftlockError as error:
            note(f"{notifier.name} was not told: {error.message}")
