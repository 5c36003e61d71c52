"""Undo a promotion that was interrupted: put every app back to what ran before it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from liftlock.engine.announce import announcement, tell
from liftlock.engine.events import Emit, RunFinished, RunStarted, as_long_as_heard
from liftlock.engine.execute import StopRequest
from liftlock.engine.guard import Guard
from liftlock.engine.outcome import Ending, Result, in_words
from liftlock.engine.way_back import Standing, Touched, WayBack
from liftlock.errors import LiftlockError
from liftlock.model import Backup, Intent, Known, Project, State, Undo
from liftlock.ports import Adapters, Lease
from liftlock.tasks import all_at_once


async def undo_intent(
    project: Project,
    adapters: Adapters,
    intent: Intent,
    *,
    lease: Lease,
    emit: Emit,
    stop: StopRequest,
    backups: Sequence[Backup] = (),
) -> Result:
    """Take the environment back to what ran before `intent`, and close it.

    Looks at every app first: one that runs what it ran before is left alone. An app that cannot be
    taken back and runs the new release stops the undo, as in a run: nothing else is changed then.
    """
    emit = as_long_as_heard(emit)
    started = anyio.current_time()
    apps = tuple(intent.releases)
    emit(
        RunStarted(intent.id, "undo", intent.environment, intent.source, intent.plan_digest, apps, len(apps))
    )
    guard = Guard(lease, stop, emit)
    way_back = WayBack(project, intent.environment, adapters, guard, emit)
    async with all_at_once() as tasks:
        tasks.start_soon(guard.keep)
        standing = await _restore(project, intent, way_back)
        all_old = all(s is Standing.OLD for s in standing.values())
        ending = Ending.FAILED if all_old else Ending.MIXED
        why = "undone by resume" if all_old else f"{ending}: undo by resume"
        try:
            state = State.FAILURE if all_old else State.ERROR
            await guard.before_closing()
            await adapters.ledger.close_intent(intent, state, why)
            stands_open = False
        except LiftlockError as error:
            stands_open = True
            way_back.note(f"The promotion's own record was not closed: {error.message}")
        tasks.cancel_scope.cancel()
    words = in_words(ending, None, "It had been interrupted, and was undone.")
    elapsed_s = anyio.current_time() - started
    message = announcement(project, intent, words, elapsed_s, (), backups, way_back.notes)
    await tell(adapters.notifiers, message, way_back.note)
    result = Result(
        ending=ending,
        apps=standing,
        elapsed_s=anyio.current_time() - started,
        intent=intent,
        backups=tuple(backups),
        interrupted="an earlier run was interrupted",
        notes=tuple(way_back.notes),
        stands_open=stands_open,
    )
    emit(RunFinished(intent.id, ending, result.exit_code, result.elapsed_s, dict(standing), why))
    return result


async def _restore(project: Project, intent: Intent, way_back: WayBack) -> dict[str, Standing]:
    touched = [
        Touched(app, Known(intent.before[app]) if app in intent.before else None, release)
        for app, release in intent.releases.items()
        if app in project.apps
    ]
    standing = dict.fromkeys(intent.releases, Standing.UNSURE)
    for app in intent.releases.keys() - project.apps.keys():
        way_back.note(f"{app} has left the project, so what it runs was not looked at.")
    standing |= await way_back.look(touched)
    back = [t for t in touched if standing[t.app] is not Standing.OLD]
    stuck = [t.app for t in back if project.apps[t.app].undo is Undo.NEVER]
    if stuck:
        way_back.note(
            f"{', '.join(stuck)} cannot be taken back and may run the new release. Nothing was put back;"
            f" finish instead: liftlock resume {intent.environment} --finish"
        )
    elif back:
        standing |= await way_back.restore(back)
    return standing
