"""History: who put what where, when, from where, and how it ended; and one promotion in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from liftlock.commands.facts import told
from liftlock.commands.names import check_names
from liftlock.config import duration_s
from liftlock.engine.backups import journaled_backups
from liftlock.errors import UsageError
from liftlock.model import Approval, Backup, Deployment, Intent, Project, Unknown
from liftlock.naming import nearest
from liftlock.ports import Adapters, Ledger, anything
from liftlock.tasks import Background, all_at_once, each
from liftlock.wording import listed

MOST_NAMED = 5
"""How many ids are named where what was typed begins several."""
NEWEST = 500
"""How many of the newest promotions an id that is not whole may belong to."""
LOOKED_THROUGH = 100
"""In how many of the newest entries people are looked for, where there is nothing by whoever was named."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A promotion, rollback or deploy of ours, or a record that another tool made."""

    at: datetime
    environment: str
    intent: Intent | None = None
    deployment: Deployment | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; what is "" or None asks for nothing."""

    app: str = ""
    by: str = ""
    """A person, as the ledger names them."""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Entries, newest first."""

    entries: Sequence[Entry]
    people: frozenset[str] = frozenset()
    """Where nothing is by whoever was named: by whom there is something."""


async def read_history(
    project: Project,
    adapters: Adapters,
    environment: str | None,
    limit: int,
    wanted: Wanted | None = None,
) -> Found:
    """The newest `limit` entries, newest first, of one environment or of all.

    Our own come first: once there are enough of them, other tools' records are looked for no
    further back than the oldest one.
    """
    wanted = wanted or Wanted()
    check_names(project, (environment,) if environment else (), (wanted.app,) if wanted.app else ())
    entries = await _entries(project, adapters, environment, limit, wanted)
    if entries or not wanted.by:
        return Found(entries)
    anybodys = await _entries(project, adapters, environment, LOOKED_THROUGH, replace(wanted, by=""))
    return Found(entries, frozenset(_creator(entry) for entry in anybodys) - {""})


async def _entries(
    project: Project, adapters: Adapters, environment: str | None, limit: int, wanted: Wanted
) -> Sequence[Entry]:
    ledger = adapters.ledger
    intents = await ledger.intents(
        environment,
        limit,
        since=wanted.since,
        until=wanted.until,
        by=wanted.by,
        where=(lambda intent: wanted.app in intent.releases) if wanted.app else anything,
    )
    since = intents[-1].created_at if len(intents) >= limit > 0 else wanted.since
    entries = [Entry(i.created_at, i.environment, intent=i) for i in intents]

    async def others(place: str) -> Sequence[Deployment]:
        asked = [wanted.app] if wanted.app else project.apps
        apps = [app for app in asked if place in project.apps[app].records]
        if not apps:
            return ()
        return await ledger.others(place, apps, limit, since=since, until=wanted.until, by=wanted.by)

    found = await each([environment] if environment else project.environments, others)
    entries += [Entry(d.created_at, d.environment, deployment=d) for many in found.values() for d in many]
    return sorted(entries, key=lambda e: e.at, reverse=True)[:limit]


def _creator(entry: Entry) -> str:
    told = entry.intent or entry.deployment
    return told.creator if told else ""


def moment_of(text: str, now: datetime, option: str, *, is_end: bool = False) -> datetime:
    """The moment that `2d` (ago), `2026-11-20` or `2026-11-20T12:00` means, in UTC unless it says otherwise.

    A day alone is its beginning, or its end with `is_end`. Raises `UsageError`, naming `option`.
    """
    try:
        return now - timedelta(seconds=duration_s(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is neither a day, nor a time, nor how long ago.",
            hint=f"For example: {option} 2026-11-20, {option} 2026-11-20T12:00 or {option} 2d",
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    is_day = len(text) == len("2026-11-20")
    return moment + timedelta(days=1) if is_end and is_day else moment


def is_id(text: str) -> bool:
    """Whether this could be the id of a promotion or a record: every ledger's ids have digits."""
    return any(character.isdigit() for character in text)


@dataclass(frozen=True, slots=True)
class Account:
    """All that is known of one promotion, rollback or deploy."""

    intent: Intent
    records: Mapping[str, Deployment]
    """By app, the record that it made; what is absent was never recorded."""
    replaced: Mapping[str, Deployment]
    """By app, the record that was current before."""
    approvals: Sequence[Approval] | Unknown
    backups: tuple[Backup, ...]
    """Those of its records; of one that stands open, those of the lease's journal."""


async def account_of(project: Project, adapters: Adapters, id_: str) -> Account | Deployment:
    """The promotion of that id, that made the record of that id, or a newer one with a unique beginning of it.

    Another tool's record is given as it is. Raises `UsageError` for an id that nothing has.
    """
    ledger = adapters.ledger
    async with all_at_once() as tasks:
        promotion = Background(tasks, ledger.intent_of, id_)
        recorded = Background(tasks, ledger.deployment_of, id_)
    intent, record = await promotion.result(), await recorded.result()
    if intent is None and record is not None:
        intent = await ledger.intent_of(record.promotion) if record.promotion else None
        if intent is None:
            return record
    return await _told_of(project, adapters, intent or await _begun_with(ledger, id_))


async def _begun_with(ledger: Ledger, id_: str) -> Intent:
    """The only one of the newest promotions whose id begins so. Raises `UsageError`, naming what is near."""
    seen: list[str] = []

    def is_last(intent: Intent) -> bool:
        seen.append(intent.id)
        return len(seen) == NEWEST

    await ledger.intents(None, 1, where=is_last)
    begun = [known for known in seen if known.startswith(id_)]
    if len(begun) > 1:
        more = f" and {len(begun) - MOST_NAMED} more" if len(begun) > MOST_NAMED else ""
        raise UsageError(
            f"{id_!r} begins {len(begun)} ids: {', '.join(begun[:MOST_NAMED])}{more}.",
            hint="Type more of it.",
        )
    if begun and (intent := await ledger.intent_of(begun[0])) is not None:
        return intent
    near = nearest(id_, seen)
    raise UsageError(
        f"No promotion, rollback, deploy or record has the id {id_!r}.",
        hint=(f"Did you mean {near}? " if near else "") + "See the ids with: liftlock history",
    )


async def _told_of(project: Project, adapters: Adapters, intent: Intent) -> Account:
    ledger, environment = adapters.ledger, intent.environment
    known = [a for a in intent.releases if a in project.apps and environment in project.apps[a].records]

    async def journal() -> Sequence[Mapping[str, object]]:
        return await adapters.leases.journal(environment) if intent.is_open else ()

    async with all_at_once() as tasks:
        recorded = Background(tasks, ledger.records_of, intent, known)
        approvals = Background(tasks, told, lambda: ledger.approvals(environment, intent.plan_digest))
        journaled = Background(tasks, told, journal)
    records = await recorded.result()
    entries = await journaled.result()
    backups = {b.database: b for d in records.made.values() for b in d.backups}
    if not isinstance(entries, Unknown):
        backups |= {b.database: b for b in journaled_backups(intent, entries)}
    return Account(
        intent=intent,
        records=records.made,
        replaced=records.replaced,
        approvals=await approvals.result(),
        backups=tuple(sorted(backups.values(), key=lambda b: b.started_at)),
    )


def nobody_so_named(by: str, people: frozenset[str]) -> str:
    """What to say where nothing is by somebody of that name."""
    near = nearest(by, people)
    there = f" There are entries by {listed(sorted(people))}." if people else ""
    return f"Nothing here is by {by}." + (f" Did you mean {near}?" if near else there)
