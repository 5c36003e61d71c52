"""Restore databases from backups, so that nothing is lost that was not meant to be.

Under the environment's lease and in maintenance mode: first a fresh backup of what stands, then the
restore, and maintenance off again whatever happened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio

from liftlock.commands.backups import Kept, Tell, Used, databases_of, list_backups, told_gone
from liftlock.commands.observe import refuse_open_intents
from liftlock.commands.run import Terms, held, run_under_lease, unless_stopped
from liftlock.engine.events import Emit
from liftlock.engine.execute import StopRequest
from liftlock.engine.guard import Guard
from liftlock.engine.outcome import Result
from liftlock.errors import LiftlockError, NeedsPerson, UsageError
from liftlock.model import Backup, Intent, Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters, Lease, Maintenance
from liftlock.tasks import all_at_once, each

HISTORY = 100
"""How many records of an app, and how many promotions, are looked through."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A database that was restored: from which backup, and the one of what stood before."""

    kept: Kept
    fresh: Backup


async def restore_databases(
    project: Project,
    adapters: Adapters,
    environment: str,
    chosen: Sequence[Kept],
    wait_s: float,
    *,
    emit: Emit,
    stop: StopRequest,
    tell: Tell,
) -> list[Restored]:
    """Restore databases of one environment while nobody else may change anything: `restore_under`, and
    the lease is taken for it."""
    ids = " and ".join(kept.backup.id for kept in chosen)
    terms = Terms(f"restore of {ids}", wait_s)
    async with held(adapters.leases, environment, terms, emit) as lease:
        async with unless_stopped(stop, environment):
            granted = await lease()
        return await restore_under(project, adapters, environment, chosen, granted, stop=stop, tell=tell)


async def restore_under(
    project: Project,
    adapters: Adapters,
    environment: str,
    chosen: Sequence[Kept],
    lease: Lease,
    *,
    stop: StopRequest,
    tell: Tell,
) -> list[Restored]:
    """Restore databases of one environment, one after the other, under a lease that we hold.

    A request to stop is heeded until the first restore begins. Raises `NeedsPerson` when the state
    of a database, or of its maintenance mode, is not known at the end.
    """
    async with unless_stopped(stop, environment):
        found = await databases_of(project, adapters, environment, all_apps=True)
        intents = await adapters.ledger.read(environment, list(project.apps)).open_intents()
        refuse_open_intents(environment, intents)
    everybody = {used.database.id: used for used in found}
    guard = Guard(lease, StopRequest())  # a restore that has begun is not broken off
    restored: list[Restored] = []
    async with all_at_once() as tasks:
        tasks.start_soon(guard.keep)
        for kept in chosen:
            used = everybody.get(kept.used.database.id, kept.used)
            one = Kept(replace(kept.used, apps=used.apps), kept.backup)
            restored.append(await _restore(project, adapters, guard, one, stop, tell))
        tasks.cancel_scope.cancel()
    return restored


async def roll_back_and_restore(
    project: Project,
    adapters: Adapters,
    environment: str,
    make: Callable[[], Awaitable[Plan]],
    terms: Terms,
    *,
    show: Callable[[Plan, Sequence[Kept]], None],
    agree: Callable[[Plan], Awaitable[None]] | None,
    ended: Callable[[Plan, Result], None],
    emit: Emit,
    stop: StopRequest,
    tell: Tell,
) -> tuple[Plan, Result, list[Restored]]:
    """Take the code back, and then the databases of before, under one lease: nobody comes between.

    `ended` hears how the code's way back went, before any database is touched. Raises `NeedsPerson`
    when the code is back and a database is not.
    """
    chosen: list[Kept] = []
    restored: list[Restored] = []

    async def planned() -> Plan:
        plan = await make()
        chosen[:] = await backups_before(project, adapters, plan) if plan.changes else []
        return plan

    async def restore(plan: Plan, result: Result, lease: Lease) -> None:
        ended(plan, result)
        if not chosen:
            return
        try:
            restored[:] = await restore_under(
                project, adapters, environment, chosen, lease, stop=stop, tell=tell
            )
        except LiftlockError as error:
            how = f"liftlock backups restore {environment} {chosen[0].used.apps[0]} {chosen[0].backup.id}"
            raise NeedsPerson(
                f"The code of {environment} is back, and not every database is: {error.message}",
                hint=f"{error.hint} To restore it: {how}".strip(),
            ) from error

    plan, result = await run_under_lease(
        project,
        adapters,
        environment,
        planned,
        terms,
        show=lambda plan: show(plan, chosen),
        agree=agree,
        emit=emit,
        stop=stop,
        then=restore,
    )
    if result.exit_code != 0 or not plan.changes:
        ended(plan, result)
    return plan, result, restored


async def _restore(
    project: Project,
    adapters: Adapters,
    guard: Guard,
    kept: Kept,
    stop: StopRequest,
    tell: Tell,
) -> Restored:
    used, name = kept.used, kept.used.apps[0]
    environment = used.database.environment
    await guard.before_change()
    async with _maintained(project, adapters, used, tell):
        async with unless_stopped(stop, environment):
            tell(name, "what stands is backed up")
            # A new one in any case: what was backed up before may be of before a release.
            fresh = await used.service.capture(used.database, None, lambda text: tell(name, text))
        await guard.write({"restore": kept.backup.id, "backups": [_written(fresh), _written(kept.backup)]})
        tell(name, f"{kept.backup.id} is restored; what stood is {fresh.id}")
        try:
            async with guard.changing():
                await used.service.restore(used.database, kept.backup, lambda text: tell(name, text))
        except LiftlockError as error:
            error.hint = f"{error.hint} What stood before is backup {fresh.id}.".strip()
            raise
    return Restored(kept, fresh)


def _written(backup: Backup) -> dict[str, str]:
    return {"database": backup.database, "id": backup.id}


@asynccontextmanager
async def _maintained(project: Project, adapters: Adapters, used: Used, tell: Tell) -> AsyncIterator[None]:
    """Keep the users of all apps on this database out. What was in maintenance before stays so."""
    entered: list[str] = []
    environment = used.database.environment
    try:
        for name in used.apps:
            app = project.apps[name]
            platform = adapters.platforms[app.platform]
            if not isinstance(platform, Maintenance):
                tell(name, f"{platform.name} has no maintenance mode: it runs on meanwhile")
                continue
            entered.append(name)
            if await platform.maintain(app.targets[environment], True):
                entered.remove(name)
            tell(name, "in maintenance mode")
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await _end_maintenance(project, adapters, environment, entered, tell)


async def _end_maintenance(
    project: Project, adapters: Adapters, environment: str, apps: Sequence[str], tell: Tell
) -> None:
    stuck = []
    for name in apps:
        platform = adapters.platforms[project.apps[name].platform]
        if isinstance(platform, Maintenance):
            try:
                await platform.maintain(project.apps[name].targets[environment], False)
                tell(name, "out of maintenance mode")
            except LiftlockError as error:
                stuck.append(f"{name} ({error.message})")
    if stuck:
        raise NeedsPerson(
            f"Maintenance mode in {environment} could not be ended for {', '.join(stuck)}.",
            hint="End it by hand: heroku maintenance:off --app NAME",
        )


async def backups_before(project: Project, adapters: Adapters, plan: Plan) -> list[Kept]:
    """For a rollback: of each database whose app goes back, the backup from before what is rolled back.

    That is the one which the promotion took before it released, else the newest that is older than
    it. Raises `LiftlockError` when there is none any more; then nothing has been changed.
    """
    apps = [a.app for a in plan.releases if project.apps[a.app].backup]
    if not apps:
        raise UsageError(
            f"No app that this rollback takes back in {plan.environment} has a database that is backed up.",
            hint="Roll back without --restore-database.",
        )
    undone = await _first_undone(adapters, plan)
    named = await _named_by(project, adapters, plan.environment, undone)
    used = await databases_of(project, adapters, plan.environment, apps)
    listed = await list_backups(project, adapters, plan.environment, apps, gone=True)
    return [_before(one, undone, named.get(one.database.id), listed) for one in used]


async def _first_undone(adapters: Adapters, plan: Plan) -> Intent:
    """The earliest of the promotions that the plan takes back."""
    ids = set(filter(None, plan.reverts.split(",")))
    intents = await adapters.ledger.intents(plan.environment, HISTORY) if ids else ()
    found = [intent for intent in intents if intent.id in ids]
    if not found:
        raise UsageError(
            f"This rollback of {plan.environment} takes back no promotion of liftlock's, so no backup is known "
            "to be from before it.",
            hint=f"Choose one: liftlock backups list {plan.environment}. "
            f"Then: liftlock backups restore {plan.environment} APP ID",
        )
    return min(found, key=lambda intent: intent.created_at)


async def _named_by(
    project: Project, adapters: Adapters, environment: str, intent: Intent
) -> dict[str, Backup]:
    """By database, the backup that the promotion's records name."""
    records = await each(project.apps, lambda app: adapters.ledger.deployments(environment, app, HISTORY))
    own = [d for found in records.values() for d in found if d.promotion == intent.id]
    backups = [*intent.backups, *(backup for deployment in own for backup in deployment.backups)]
    return {backup.database: backup for backup in backups}


def _before(used: Used, undone: Intent, named: Backup | None, listed: Sequence[Kept]) -> Kept:
    own = [one for one in listed if one.used.database.id == used.database.id]
    since = undone.created_at
    older = [one for one in own if one.backup.finished_at <= since]
    found = [one for one in own if one.backup.id == named.id] if named else older
    what = f"{undone.kind} {undone.id} of {since:%Y-%m-%d %H:%M} UTC"
    hint = (
        "Nothing was changed. Roll the code back without --restore-database, or choose another backup: "
        f"liftlock backups list {used.database.environment}"
    )
    if found and found[0].backup.gone_at is None:
        return found[0]
    if found:
        raise LiftlockError(f"{told_gone(found[0])}. It is the one from before {what}.", hint=hint)
    if named is not None:
        raise LiftlockError(
            f"Backup {named.id} of {used.whose}, which {what} took before it released, is no longer listed: "
            "it was deleted, or its time is over.",
            hint=hint,
        )
    raise LiftlockError(f"There is no backup of {used.whose} from before {what}.", hint=hint)
