"""Roll an environment back to an earlier set of its own deployments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from liftlock.commands.facts import told
from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.promote import Conditions
from liftlock.config import duration_s
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Deployment, Intent, Kind, Missing, Project, State, Unknown, same_artifacts
from liftlock.naming import nearest
from liftlock.planning.make import make_plan
from liftlock.planning.migrations import backup_before, first_migration, warning
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import each
from liftlock.wording import read_moment

HISTORY = 100
"""How many records of an app, and how many promotions, are looked through."""


async def plan_rollback(
    project: Project,
    adapters: Adapters,
    environment: str,
    *,
    to: str = "",
    apps: Collection[str] = (),
    conditions: Conditions | None = None,
) -> Plan:
    """What a rollback would do: back to before the last promotion, or to `to`.

    `to` is the id of a promotion, deploy or rollback in this environment (the state that it left), a
    time, or a duration ago (the state then). Raises `UsageError` for unknown names, ids and times,
    `LiftlockError` when there is nothing to go back to.
    """
    check_names(project, (environment,), apps)
    intents = await adapters.ledger.intents(environment, HISTORY)
    refuse_open_intents(environment, [i for i in intents if i.is_open])
    records = await _records(project, adapters, environment)
    if not to:
        wanted, reverts = _before_last(intents, records, environment)
    elif (moment := moment_of(to, adapters.clock.now())) is not None:
        wanted, reverts = _at(moment, intents, records, environment)
    else:
        wanted, reverts = _after(to, intents, records, environment)
    _refuse_untouched([app for app in apps if app not in wanted], wanted, reverts, environment)
    if apps and set(wanted) - set(apps):
        reverts = ""  # the others stay as that promotion left them: it is still in effect
    wanted = await _warned(project, adapters, environment, wanted, records)
    conditions = conditions or Conditions()
    observation = await Observer(project, adapters, environment).for_releases(wanted)
    return make_plan(
        project,
        observation,
        kind=Kind.ROLLBACK,
        environment=environment,
        selected=apps,
        accept_drift=conditions.accept_drift,
        overrides=conditions.overrides,
        reverts=reverts,
    )


def _refuse_untouched(
    apps: Sequence[str], wanted: Mapping[str, Wanted | Missing], reverts: str, environment: str
) -> None:
    """Raises for apps that have nothing to do with what is taken back: it would not change them."""
    if apps:
        what = (
            f"The last promotion in {environment}, {reverts}," if reverts else f"What stood in {environment}"
        )
        raise LiftlockError(
            f"{what} was about {', '.join(wanted)}, and not about {', '.join(apps)}.",
            hint=f"Choose an earlier state with --to ID: liftlock history {environment} --app {apps[0]}",
        )


async def _records(
    project: Project, adapters: Adapters, environment: str
) -> Mapping[str, Sequence[Deployment]]:
    return await each(project.apps, lambda app: adapters.ledger.deployments(environment, app, HISTORY))


def in_effect(intents: Sequence[Intent]) -> list[Intent]:
    """The promotions and deploys that succeeded and that no later rollback took back, newest first."""
    taken_back = {
        reverted
        for intent in intents
        if intent.kind is Kind.ROLLBACK and intent.state is State.SUCCESS
        for reverted in intent.reverts.split(",")
    }
    return [
        intent
        for intent in intents
        if intent.kind not in {Kind.ROLLBACK, Kind.RECORD}
        and intent.state is State.SUCCESS
        and intent.id not in taken_back
    ]


def _before_last(
    intents: Sequence[Intent], records: Mapping[str, Sequence[Deployment]], environment: str
) -> tuple[dict[str, Wanted | Missing], str]:
    last = next(iter(in_effect(intents)), None)
    if last is None:
        return _previous_of_each(records, environment), ""
    wanted: dict[str, Wanted | Missing] = {}
    for app in last.releases:
        if app not in records:
            continue  # the app has left the project since
        replaced = last.replaced.get(app, "")
        found = next((d for d in records[app] if d.id == replaced), None)
        wanted[app] = Wanted(found.release, found) if found else _nothing_before(environment)
    return wanted, last.id


def _previous_of_each(
    records: Mapping[str, Sequence[Deployment]], environment: str
) -> dict[str, Wanted | Missing]:
    """Without promotions of ours: each app's deployment before its current one."""
    wanted: dict[str, Wanted | Missing] = {}
    for app, deployments in records.items():
        counting = [d for d in deployments if d.counts]
        if counting:
            found = counting[1] if len(counting) > 1 else None
            wanted[app] = Wanted(found.release, found) if found else _nothing_before(environment)
    if not wanted:
        raise LiftlockError(
            f"There is nothing to go back to in {environment}: no deployment is recorded there.",
            hint=f"See what runs with: liftlock status {environment}",
        )
    return wanted


def _after(
    to: str, intents: Sequence[Intent], records: Mapping[str, Sequence[Deployment]], environment: str
) -> tuple[dict[str, Wanted | Missing], str]:
    """Each app as it stood when the promotion `to` had ended, or the record `to` was made."""
    goal = next((i for i in intents if i.id == to), None)
    record = next((d for found in records.values() for d in found if d.id == to), None)
    if goal is None and record is not None:  # history shows other tools' records by their own ids
        goal = next((i for i in intents if i.id == record.promotion), None)
        if goal is None and record.counts:
            return _at(record.created_at, intents, records, environment)
    if goal is None or goal.state is not State.SUCCESS:
        what = "did not succeed" if goal or record else "is not known"
        near = "" if goal or record else nearest(to, [i.id for i in intents if i.state is State.SUCCESS])
        raise UsageError(
            f"{to!r} {what} in {environment}.",
            hint=(f"Did you mean {near}? " if near else "")
            + f"Choose the id of a promotion that succeeded from: liftlock history {environment}",
        )
    later = {i.id for i in intents[: intents.index(goal)]}

    def stood(deployment: Deployment) -> bool:
        """Whether the record was there when `goal` had ended: its own records were made by it."""
        return deployment.promotion == goal.id or deployment.created_at <= goal.created_at

    return _standing(stood, later, intents, records, environment)


def _at(
    moment: datetime, intents: Sequence[Intent], records: Mapping[str, Sequence[Deployment]], environment: str
) -> tuple[dict[str, Wanted | Missing], str]:
    """Each app as it stood at a moment. A promotion that had not ended by then counts as not begun:
    its apps go together, or not at all."""
    later = {i.id for i in intents if (i.finished_at or i.created_at) > moment}
    return _standing(lambda d: d.created_at <= moment, later, intents, records, environment)


def _standing(
    stood: Callable[[Deployment], bool],
    later: Collection[str],
    intents: Sequence[Intent],
    records: Mapping[str, Sequence[Deployment]],
    environment: str,
) -> tuple[dict[str, Wanted | Missing], str]:
    """Each app's newest record that `stood` and is not of a `later` promotion, and what that takes back."""
    wanted: dict[str, Wanted | Missing] = {}
    for app, deployments in records.items():
        if not deployments:
            continue
        found = next((d for d in deployments if d.counts and d.promotion not in later and stood(d)), None)
        wanted[app] = Wanted(found.release, found) if found else _nothing_before(environment)
    return wanted, ",".join(i.id for i in in_effect(intents) if i.id in later)


def moment_of(to: str, now: datetime) -> datetime | None:
    """The moment that `2h` (ago) or `2026-11-20T12:00` means; None for what is neither, such as an id.

    A time without a zone is UTC, as `history` prints it. Raises `UsageError` for a time to come.
    """
    try:
        moment = now - timedelta(seconds=duration_s(to))
    except ValueError:
        if "-" not in to:
            return None
        try:
            moment = datetime.fromisoformat(to)
            moment = read_moment((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())
        except ValueError:
            return None
    if moment > now:
        raise UsageError(
            f"{to} lies in the future: nothing has run then.", hint="Choose a time in `history`."
        )
    return moment


async def _warned(
    project: Project,
    adapters: Adapters,
    environment: str,
    wanted: Mapping[str, Wanted | Missing],
    records: Mapping[str, Sequence[Deployment]],
) -> dict[str, Wanted | Missing]:
    """The wanted releases, with a note on those that lie before a migration of their database."""

    async def look(name: str) -> Wanted | Missing:
        goal, app = wanted[name], project.apps[name]
        if isinstance(goal, Missing):
            return goal
        current = next((d for d in records[name] if d.counts), None)
        if current and same_artifacts(current.release.artifacts, goal.release.artifacts):
            return goal  # it stands there already: nothing goes back
        newer = list(
            takewhile(lambda d: goal.deployment is None or d.id != goal.deployment.id, records[name])
        )
        migration = first_migration(app, goal.release, newer)
        if migration is None:
            return goal
        service = adapters.databases_of(app) if app.backup else None
        backup = None
        if service is not None:
            backups = await told(lambda: service.backups(app.targets[environment]))
            if isinstance(backups, Unknown):
                why = f"which backups there are could not be told ({backups.reason})"
                return replace(goal, notes=(*goal.notes, why, warning(migration, None, is_backed_up=False)))
            backup = backup_before(migration, backups)
        note = warning(migration, backup, is_backed_up=service is not None)
        return replace(goal, notes=(*goal.notes, note))

    return await each(wanted, look)


def _nothing_before(environment: str) -> Missing:
    return Missing(
        f"nothing ran before in {environment}, so there is nothing to go back to",
        "Apps that had an earlier release can be rolled back by naming them.",
    )
