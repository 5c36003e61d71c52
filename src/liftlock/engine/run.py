"""One run of a plan: what each step does, and the way back when something fails.

The order and the concurrency are `execute`'s; this module holds the story: the intent is written,
everything is staged and backed up, apps are switched and verified, and only when all of them are
healthy are they recorded. When a switch or a verification fails, every app that was switched goes
back to what ran before, in reverse order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import anyio

from liftlock.engine.announce import announcement, app_lines, tell
from liftlock.engine.backups import SIZE_OVERRIDE, judged
from liftlock.engine.events import Emit, RunFinished, RunStarted, as_long_as_heard
from liftlock.engine.execute import BEST_EFFORT, Execution, Outcome, StopRequest, execute, working_steps
from liftlock.engine.guard import Guard
from liftlock.engine.outcome import Ending, Result, in_words
from liftlock.engine.records import Records
from liftlock.engine.way_back import Standing, Touched, WayBack
from liftlock.errors import LiftlockError
from liftlock.model import (
    Artifacts,
    Backup,
    Intent,
    Known,
    Project,
    Release,
    State,
    StepTime,
    Target,
)
from liftlock.planning.estimates import expected_time
from liftlock.planning.plan import TIMED, Action, AppPlan, Plan, Step, StepKind
from liftlock.ports import (
    Adapters,
    Lease,
    Platform,
    Progress,
    Switch,
)
from liftlock.tasks import all_at_once


class Run:
    """Runs one plan. Made for one call of `run`."""

    def __init__(
        self,
        project: Project,
        plan: Plan,
        adapters: Adapters,
        *,
        key: str,
        lease: Lease,
        emit: Emit,
        stop: StopRequest,
        undo_on_failure: bool = True,
        overrides: Mapping[str, str] | None = None,
        intent: Intent | None = None,
        backups: Sequence[Backup] = (),
        has_recorded: bool = False,
        keeps_lease: bool = False,
    ) -> None:
        """`intent` and `backups` are those of an interrupted run that this one finishes; `has_recorded`
        says that it had verified all, and begun to record. With `keeps_lease` the lease is not given
        back early: something follows under it."""
        self._project = project
        self._plan = plan
        self._adapters = adapters
        self._key = key
        self._emit = as_long_as_heard(emit)
        self._stop = stop
        self._undo_on_failure = undo_on_failure
        self._overrides = overrides or (intent.overrides if intent else {})
        self._resumed = intent
        self._has_recorded = has_recorded
        self._keeps_lease = keeps_lease
        # By the clock of whoever keeps the leases, never by ours: with a clock that is behind, a backup
        # from before an earlier promotion would count. Its times are whole seconds.
        taken = lease.holding.since + timedelta(seconds=1)
        self._backups_since = intent.created_at if intent else taken
        self._guard = Guard(lease, stop, self._emit)
        self._way_back = WayBack(project, plan.environment, adapters, self._guard, self._emit)
        self._records = Records(plan, adapters, self._guard, self._way_back.note, intent)
        self._staged: dict[str, Release] = {}
        self._switches: dict[str, Switch] = {}
        self._backups: dict[str, Backup] = {b.database: b for b in backups}
        self._times: dict[str, dict[str, StepTime]] = {}
        """By app: when its steps that are done began, and how long they took."""
        self._put_back: tuple[str, ...] = ()
        self._started = 0.0

    async def run(self) -> Result:
        """Run the plan to its end, undoing on failure. Raises nothing that a vendor may cause."""
        self._started = anyio.current_time()
        plan = self._plan
        apps = tuple(a.app for a in plan.changes)
        expected = expected_time(plan.steps)
        self._emit(
            RunStarted(
                self._key,
                plan.kind,
                plan.environment,
                plan.source,
                plan.digest,
                apps,
                working_steps(plan.steps),
                expected.seconds if expected else None,
                expected is not None and expected.is_whole,
            )
        )
        async with all_at_once() as tasks:
            tasks.start_soon(self._guard.keep)
            execution = await execute(
                plan.steps, self._act, limits=self._limits(), emit=self._emit, stop=self._stop
            )
            result = await (self._succeeded(execution) if execution.succeeded else self._failed(execution))
            tasks.cancel_scope.cancel()
        self._emit(
            RunFinished(
                self._key,
                result.ending,
                result.exit_code,
                result.elapsed_s,
                dict(result.apps),
                result.cause.message if result.cause else result.interrupted,
            )
        )
        return result

    def _limits(self) -> dict[str, int]:
        limits = {name: platform.concurrency for name, platform in self._adapters.platforms.items()}
        limits |= {f"backup:{s.name}": s.concurrency for s in self._adapters.databases.values()}
        limits["ledger"] = self._adapters.ledger.concurrency
        return limits

    # What each step does.

    async def _act(self, step: Step, progress: Progress) -> str:
        began_s = anyio.current_time() - self._started
        detail = await self._do(step, progress)
        if step.kind in TIMED:
            self._time(step, StepTime(began_s, anyio.current_time() - self._started - began_s))
        return detail

    def _time(self, step: Step, time: StepTime) -> None:
        """Keep a step's time. Of an app's several databases: from the first one's begin to the last one's end."""
        times = self._times.setdefault(step.app, {})
        if (other := times.get(step.kind)) is not None:
            began_s = min(other.began_s, time.began_s)
            time = StepTime(began_s, max(other.ended_s, time.ended_s) - began_s)
        times[step.kind.value] = time

    async def _do(self, step: Step, progress: Progress) -> str:
        match step.kind:
            case StepKind.INTENT:
                intent = await self._records.open(
                    self._key, self._overrides, undo_on_failure=self._undo_on_failure
                )
                return intent.id
            case StepKind.STAGE:
                return await self._stage(step.app, progress)
            case StepKind.BACKUP:
                return await self._back_up(step.id.removeprefix("backup:"), progress)
            case StepKind.JOURNAL:
                await self._records.journal(self._counted)
                return f"{len(self._backups)} backups"
            case StepKind.RELEASE:
                return await self._release(step.app, progress)
            case StepKind.VERIFY:
                return await self._verify(step.app, progress)
            case StepKind.RECORD:
                return await self._record(step.app)
            case StepKind.MARK:
                await self._records.mark(step.app)
                return State.SUCCESS.value
            case StepKind.CLOSE:
                await self._records.close(State.SUCCESS, self._records.summary(self._counted))
                return State.SUCCESS.value
            case StepKind.FREE:
                return await self._free()
            case StepKind.RETIRE:
                return await self._records.retire(step.app)
            case StepKind.NOTIFY:
                return await self._announce("succeeded")
            case StepKind.READY | StepKind.NO_RETURN | StepKind.VERIFIED:
                return ""

    async def _stage(self, app: str, progress: Progress) -> str:
        located = self._app(app).located
        if located is None:
            raise AssertionError(f"{app} is to be released, and nobody looked for its artifacts")
        source = self._project.apps[app].targets.get(self._plan.source) if self._plan.source else None
        self._staged[app] = await self._platform(app).stage(self._target(app), located, source, progress)
        return ", ".join(sorted(set(located.where.values())))

    async def _back_up(self, database_id: str, progress: Progress) -> str:
        database = next(d for d in self._plan.databases if d.id == database_id)
        service = self._adapters.databases_of(self._project.apps[database.app])
        if service is None:
            raise AssertionError(f"{database.app} is to be backed up, and nothing serves its database")
        async with self._guard.changing():
            backup = await service.capture(database, self._backups_since, progress, self._token())
        told = judged(backup, database, is_overridden=bool(self._overrides.get(SIZE_OVERRIDE)))
        self._backups[database_id] = backup
        return told

    def _token(self) -> str:
        """What the promotion's backups are found again by, whoever finishes it: its record's key."""
        intent = self._records.intent
        return (intent.key or intent.id) if intent else ""

    async def _release(self, app: str, progress: Progress) -> str:
        promotion = self._records.intent.id if self._records.intent else ""
        async with self._guard.changing():
            switch = await self._platform(app).release(
                self._target(app), self._staged[app], progress, promotion
            )
        self._switches[app] = switch
        self._guard.after_change()
        return switch.marker if switch.changed else f"{switch.marker} ran already"

    async def _verify(self, app: str, progress: Progress) -> str:
        planned = self._app(app)
        if planned.action is Action.RECORD and isinstance(planned.running, Known) and planned.release:
            # As it stands at the target: a site's version there has another name than the source's.
            release = replace(planned.release, artifacts=planned.running.artifacts)
            self._staged[app] = release
            switch, settle_s = Switch(planned.running.marker, changed=False), 0.0
        else:
            switch, release, settle_s = self._switches[app], self._staged[app], self._project.settle_s
        await self._platform(app).settle(self._target(app), release, switch, settle_s, progress)
        return "healthy"

    async def _record(self, app: str) -> str:
        deployment = await self._records.record(
            app, self._staged.get(app), self._counted, self._times.get(app, {})
        )
        return f"record {deployment.id}"

    async def _free(self) -> str:
        """All is recorded and nothing changes any more: the next one may have the environment.

        It does not wait for the promotion's own record to be closed, which takes as long.
        """
        if self._keeps_lease:
            return "kept"
        try:
            await self._guard.free()
        except LiftlockError as error:
            self._way_back.note(f"The lease was not given back and runs out by itself: {error.headline}")
        return ""

    async def _announce(self, outcome: str) -> str:
        if self._records.intent is None:
            return ""
        lines = await app_lines(self._project, self._adapters, self._plan.changes)
        elapsed_s = anyio.current_time() - self._started
        message = announcement(
            self._project,
            self._records.intent,
            outcome,
            elapsed_s,
            lines,
            self._counted,
            self._way_back.notes,
        )
        await tell(self._adapters.notifiers, message, self._way_back.note)
        return ", ".join(n.name for n in self._adapters.notifiers)

    # What the run ends with.

    async def _succeeded(self, execution: Execution) -> Result:
        self._tell_unfinished(execution)
        return self._result(Ending.SUCCEEDED, {a.app: Standing.NEW for a in self._plan.changes})

    async def _failed(self, execution: Execution) -> Result:
        failed_step, cause = next(iter(execution.errors.items()), ("", None))
        if execution.outcomes.get("close") is Outcome.DONE:
            if execution.stopped:
                self._way_back.note("The promotion itself had ended well before it was stopped.")
            await self._records.mark_all(self._unmarked(execution))
            self._tell_unfinished(execution)
            return self._result(Ending.SUCCEEDED, {a.app: Standing.NEW for a in self._plan.changes})
        if self._has_recorded or any(execution.started(f"record:{a.app}") for a in self._plan.changes):
            ending, standing = await self._finish_records(execution)
        else:
            ending, standing = await self._go_back(execution)
        stands_open = not await self._close_failed(ending, standing, cause, execution.stopped)
        if stands_open and ending is Ending.SUCCEEDED:
            ending = Ending.UNRECORDED  # the next promotion would be refused: that is no success
        await self._announce(in_words(ending, cause, execution.stopped))
        return self._result(
            ending,
            standing,
            cause=cause,
            failed_step=failed_step,
            interrupted=execution.stopped,
            stands_open=stands_open,
        )

    def _tell_unfinished(self, execution: Execution) -> None:
        """What must not hold a run up, and did not end in its time, is said: nothing else tells it."""
        for step in self._plan.steps:
            if step.kind not in BEST_EFFORT or execution.outcomes.get(step.id) is Outcome.DONE:
                continue
            if step.kind is StepKind.NOTIFY:
                names = ", ".join(notifier.name for notifier in self._adapters.notifiers)
                if names:
                    self._way_back.note(f"{names} may not have been told: it did not answer in time")
            elif (replaced := self._app(step.app).replaces) is not None:
                self._way_back.note(
                    f"The earlier record {replaced.id} of {step.app} was not marked inactive in time; the newer"
                    " one counts all the same"
                )

    async def _finish_records(self, execution: Execution) -> tuple[Ending, dict[str, Standing]]:
        """All apps were verified and some are recorded, so nothing is undone: write what can be written."""
        for planned in self._plan.changes:
            app = planned.app
            if self._guard.is_lost:
                break  # whoever took the lease writes what is missing
            if execution.outcomes.get(f"verify:{app}") is not Outcome.DONE:
                self._way_back.note(f"{app} was not seen healthy again, so it is not recorded.")
                continue
            try:
                if app not in self._records.deployments:
                    await self._record(app)
            except LiftlockError as error:
                self._way_back.note(
                    f"{app} runs and is healthy, but its record was not written: {error.message}"
                )
        await self._records.mark_all(self._unmarked(execution))
        complete = len(self._records.deployments) == len(self._plan.changes)
        ending = Ending.SUCCEEDED if complete else Ending.UNRECORDED
        return ending, {a.app: Standing.NEW for a in self._plan.changes}

    def _unmarked(self, execution: Execution) -> list[str]:
        """The apps that are recorded, and whose record's own step did not mark it."""
        outcomes = execution.outcomes
        return [app for app in self._records.deployments if outcomes.get(f"mark:{app}") is not Outcome.DONE]

    async def _go_back(self, execution: Execution) -> tuple[Ending, dict[str, Standing]]:
        """Take every app that was switched, or may have been, back to what ran before."""
        touched = self._touched(execution)
        standing = {a.app: Standing.UNTOUCHED for a in self._plan.changes}
        standing |= await self._way_back.look(list(touched.values()))
        back = [touched[app] for app in touched if standing[app] is not Standing.OLD]
        stuck = [self._app(t.app) for t in back if not self._app(t.app).reversible]
        if stuck:
            self._way_back.note(self._beyond_return(stuck))
        elif back and self._guard.is_lost:
            self._way_back.note("Nothing was put back: whoever has the lease now decides what becomes of it.")
        elif back and self._undo_on_failure:
            standing |= await self._way_back.restore(back)
            self._put_back = tuple(t.app for t in back if standing[t.app] is Standing.OLD)
        elif back:
            self._way_back.note("Nothing was put back, as --on-failure stop asks.")
        all_old = all(s in {Standing.OLD, Standing.UNTOUCHED} for s in standing.values())
        return (Ending.FAILED if all_old else Ending.MIXED), standing

    def _touched(self, execution: Execution) -> dict[str, Touched]:
        """The apps that this run, or the interrupted one that it finishes, may have switched."""
        touched = {}
        for planned in self._plan.changes:
            before, new = planned.before, self._staged.get(planned.app, planned.release)
            if self._resumed is not None:
                if planned.app in self._resumed.before:
                    before = Known(self._resumed.before[planned.app])
                elif planned.action is Action.RECORD:  # the new release: it tells nothing of before
                    before = None
            if self._resumed is not None or execution.started(f"release:{planned.app}"):
                touched[planned.app] = Touched(planned.app, before, new)
        return touched

    async def _close_failed(
        self, ending: Ending, standing: Mapping[str, Standing], cause: LiftlockError | None, stopped: str
    ) -> bool:
        """End the promotion's own record; whether that could be done."""
        why = cause.headline if cause else stopped
        state = State.SUCCESS if ending is Ending.SUCCEEDED else State.FAILURE
        if ending in {Ending.MIXED, Ending.UNRECORDED}:
            state = State.ERROR
        text = self._records.summary(self._counted) if state is State.SUCCESS else f"{ending}: {why}"
        if ending is Ending.MIXED:
            text = f"{ending}: {json.dumps(standing)}"
        if self._guard.is_lost:
            return False  # whoever took the lease says how it ended
        try:
            await self._guard.before_closing()
            await self._records.close(state, text)
        except LiftlockError as error:
            self._way_back.note(f"The promotion's own record was not closed: {error.message}")
            return False
        return True

    def _beyond_return(self, stuck: list[AppPlan]) -> str:
        lines = []
        for planned in stuck:
            backups = [b.id for b in self._counted if b.app == planned.app]
            what = "its database's schema may have moved" if planned.has_release_phase else "it has no undo"
            kept = f"; backup {', '.join(backups)}" if backups else "; no backup was taken"
            images = _artifacts_text(planned.release.artifacts) if planned.release else ""
            lines.append(
                f"{planned.app} is past the point of no return ({what}{kept}; it was to run {images})"
            )
        return ". ".join(lines) + ". Nothing was put back."

    def _result(
        self,
        ending: Ending,
        standing: Mapping[str, Standing],
        *,
        cause: LiftlockError | None = None,
        failed_step: str = "",
        interrupted: str = "",
        stands_open: bool = False,
    ) -> Result:
        return Result(
            ending=ending,
            apps=standing,
            elapsed_s=anyio.current_time() - self._started,
            intent=self._records.intent,
            deployments=dict(self._records.deployments),
            backups=self._counted,
            cause=cause,
            failed_step=failed_step,
            interrupted=interrupted,
            put_back=self._put_back,
            notes=tuple(self._way_back.notes),
            stands_open=stands_open and self._records.intent is not None,
        )

    @property
    def _counted(self) -> tuple[Backup, ...]:
        """The backups that count: those just taken, and those of the run that this one finishes."""
        return tuple(self._backups.values())

    def _app(self, app: str) -> AppPlan:
        return self._plan.apps[app]

    def _platform(self, app: str) -> Platform:
        return self._adapters.platforms[self._project.apps[app].platform]

    def _target(self, app: str) -> Target:
        return self._project.apps[app].targets[self._plan.environment]


def _artifacts_text(artifacts: Artifacts) -> str:
    return ", ".join(f"{part} {artifact.short}" for part, artifact in artifacts.items())
