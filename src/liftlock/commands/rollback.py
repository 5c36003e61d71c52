"""Roll an environment back to an earlier set of its own deployments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.promote import Conditions, check_names
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Deployment, Intent, Kind, Missing, Project, State
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import each

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
    """What a rollback would do: back to before the last promotion, or to just after `to`.

    `to` is the id of a promotion, deploy or rollback in this environment. Raises `UsageError`
    for unknown names and ids, `LiftlockError` when there is nothing to go back to.
    """
    check_names(project, (environment,), apps)
    intents = await adapters.ledger.intents(environment, HISTORY)
    refuse_open_intents(environment, [i for i in intents if i.is_open])
    records = await _records(project, adapters, environment)
    if to:
        wanted, reverts = _after(to, intents, records, environment)
    else:
        wanted, reverts = _before_last(intents, records, environment)
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
        if intent.kind is not Kind.ROLLBACK and intent.state is State.SUCCESS and intent.id not in taken_back
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
    """Each app as it stood when the promotion `to` had ended."""
    goal = next((i for i in intents if i.id == to), None)
    if goal is None or goal.state is not State.SUCCESS:
        what = "did not succeed" if goal else "is not known"
        raise UsageError(
            f"{to!r} {what} in {environment}.",
            hint=f"Choose the id of a promotion that succeeded from: liftlock history {environment}",
        )
    newer = intents[: intents.index(goal)]
    later = {i.id for i in newer}
    wanted: dict[str, Wanted | Missing] = {}
    for app, deployments in records.items():
        if not deployments:
            continue
        found = next(
            (d for d in deployments if d.counts and d.promotion not in later and _stood(d, goal)), None
        )
        wanted[app] = Wanted(found.release, found) if found else _nothing_before(environment)
    return wanted, ",".join(i.id for i in in_effect(intents) if i.id in later)


def _stood(deployment: Deployment, goal: Intent) -> bool:
    """Whether the record was there when `goal` had ended: its own records were made by it."""
    return deployment.promotion == goal.id or deployment.created_at <= goal.created_at


def _nothing_before(environment: str) -> Missing:
    return Missing(
        f"nothing ran before in {environment}, so there is nothing to go back to",
        "Apps that had an earlier release can be rolled back by naming them.",
    )
