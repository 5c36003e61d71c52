"""Resume: finish or undo a promotion that was interrupted, from any machine.

Everything comes from the intent, the lease's journal and what really runs; nothing is remembered
on the machine that was interrupted.
"""

from __future__ import annotations

from typing import Literal

from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer
from liftlock.engine.backups import journaled_backups
from liftlock.engine.events import Emit
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.revert import undo_intent
from liftlock.engine.run import Run
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Intent, Missing, Project, State
from liftlock.planning.gates import GATES
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Action, Plan
from liftlock.ports import Adapters, Lease
from liftlock.tasks import each

RECENT = 20
"""How many of an app's newest records are looked through for one of the interrupted promotion."""


async def open_promotion(project: Project, adapters: Adapters, environment: str) -> Intent | None:
    """The promotion, rollback or deploy that stands open in the environment; None when none does."""
    check_names(project, (environment,))
    intents = await adapters.ledger.read(environment, list(project.apps)).open_intents()
    return intents[0] if intents else None


async def plan_finish(project: Project, adapters: Adapters, intent: Intent, lease: Lease) -> Plan:
    """What is left to do of an interrupted promotion. Changes nothing.

    Raises `LiftlockError` when it has ended meanwhile: whoever held the lease may have been at work on it.
    """
    await _refuse_unusable(project, adapters, intent)
    gone = [app for app in intent.releases if app not in project.apps]
    if gone:
        raise UsageError(
            f"{', '.join(gone)} left the project since {intent.kind} {intent.id} began, so it cannot be finished.",
            hint=f"Undo it: liftlock resume {intent.environment} --undo",
        )
    wanted: dict[str, Wanted | Missing] = {app: Wanted(r) for app, r in intent.releases.items()}
    observation = await Observer(project, adapters, intent.environment).for_releases(wanted, intent.source)
    return make_plan(
        project,
        observation,
        kind=intent.kind,
        environment=intent.environment,
        source=intent.source,
        accept_drift=True,
        overrides=dict.fromkeys(GATES, f"judged when {intent.id} began"),
        reverts=intent.reverts,
        backed_up=[b.database for b in journaled_backups(intent, lease.journal)],
    )


async def _refuse_unusable(project: Project, adapters: Adapters, intent: Intent) -> None:
    """What stood open before the lease was taken may have been finished or undone before we had it.

    One that cannot be read seems to be about no app: as if nothing were left to do.
    """
    if not intent.releases:
        raise LiftlockError(
            f"{intent.kind} {intent.id} cannot be read: another version of liftlock began it, or something"
            " changed its record.",
            hint="Nothing was changed. Resume it with the version that began it. See what runs with: "
            "liftlock status",
        )
    found = await adapters.ledger.read(intent.environment, list(project.apps)).open_intents()
    if all(standing.id != intent.id for standing in found):
        raise LiftlockError(
            f"{intent.kind} {intent.id} has ended while its environment was waited for.",
            hint=f"Nothing was changed. See how it ended with: liftlock history {intent.environment}",
        )


async def finish(
    project: Project,
    adapters: Adapters,
    intent: Intent,
    plan: Plan,
    *,
    lease: Lease,
    emit: Emit,
    stop: StopRequest,
) -> Result:
    """Run what is left; a failure takes everything back to before the interrupted promotion."""
    for app in plan.apps.values():
        made = app.replaces if app.action is Action.UNCHANGED else None
        if made is not None and made.promotion == intent.id and not made.reached_success:
            await adapters.ledger.mark(made, State.SUCCESS, "verified before it was interrupted")
    if not plan.changes:
        await adapters.ledger.close_intent(
            intent, State.SUCCESS, "finished by resume: nothing was left to do"
        )
        return Result(Ending.SUCCEEDED, {}, 0.0, intent)
    run = Run(
        project,
        plan,
        adapters,
        key=intent.id,
        lease=lease,
        emit=emit,
        stop=stop,
        undo_on_failure=intent.undo_on_failure,
        intent=intent,
        backups=journaled_backups(intent, lease.journal),
        has_recorded=bool(await _recorded(project, adapters, intent)),
    )
    return await run.run()


async def undo(
    project: Project,
    adapters: Adapters,
    intent: Intent,
    *,
    lease: Lease,
    emit: Emit,
    stop: StopRequest,
) -> Result:
    """Take the environment back to before the interrupted promotion.

    Raises `LiftlockError` when records of it exist: then every app was seen healthy on the new
    release, and only finishing leaves records that tell the truth.
    """
    await _refuse_unusable(project, adapters, intent)
    if recorded := await _recorded(project, adapters, intent):
        raise LiftlockError(
            f"{intent.kind} {intent.id} was verified, and {', '.join(recorded)} recorded, before it was interrupted.",
            hint=f"Finish it: liftlock resume {intent.environment} --finish. Then roll back if you want to:"
            f" liftlock rollback {intent.environment}",
        )
    backups = journaled_backups(intent, lease.journal)
    return await undo_intent(project, adapters, intent, lease=lease, emit=emit, stop=stop, backups=backups)


async def recorded_choice(project: Project, adapters: Adapters, intent: Intent) -> Literal["finish", "undo"]:
    """What to do where nobody can be asked: what the promotion's `--on-failure` said.

    One that was verified is finished all the same: nothing failed in it.
    """
    if not intent.undo_on_failure or await _recorded(project, adapters, intent):
        return "finish"
    return "undo"


async def _recorded(project: Project, adapters: Adapters, intent: Intent) -> list[str]:
    """The apps that the interrupted promotion recorded: it had seen all of its apps healthy before.

    Not by the current records alone: somebody may have deployed over them since, and that undoes nothing.
    """
    records = await each(
        [app for app in intent.releases if app in project.apps],
        lambda app: adapters.ledger.deployments(intent.environment, app, RECENT),
    )
    return [app for app, found in records.items() if any(d.promotion == intent.id for d in found)]
