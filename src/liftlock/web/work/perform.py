"""Do what an order says, by the use cases that the command line calls, and tell how it ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import anyio

from liftlock.commands import resume
from liftlock.commands.observe import refuse_open_intents
from liftlock.commands.promote import Conditions, check_gates, plan_promotion, refuse_unless_runnable
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms, held, run_under_lease, unless_stopped
from liftlock.documents.error import error_document
from liftlock.documents.run import result_document, resume_document
from liftlock.engine import events
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.errors import Busy, LiftlockError, Refused, ungrouped
from liftlock.model import Intent, Project, State
from liftlock.planning.document import plan_document
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.web.work.orders import Event, Order, OrderKind
from liftlock.web.work.traces import traced

LOOK_S = 2.0
"""How often somebody's lease is looked at while it is waited for, in seconds."""
CLOCKS_DIFFER = timedelta(minutes=10)
"""How far the clocks of the server's database and of the ledger may be from each other."""
_ENDINGS = {State.SUCCESS: Ending.SUCCEEDED, State.FAILURE: Ending.FAILED}

Open = Callable[[str], AbstractAsyncContextManager[Adapters]]
"""Opens the project's adapters for a person's account: what they change is recorded as theirs."""
Tell = Callable[[Event], None]
"""Hears the events of a run."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An order's place in a queue, which outlives whoever performs it."""

    key: str
    """What its run is found again by in the ledger: another worker may have begun it, and died."""
    asked_at: datetime
    wait_s: float
    """How long to wait for whoever holds the environment, in seconds."""


@dataclass(frozen=True, slots=True)
class Performed:
    """How an order ended."""

    exit_code: int
    result: dict[str, Any]


async def perform(
    project: Project, open_: Open, order: Order, tell: Tell, stop: StopRequest, turn: Turn | None = None
) -> Performed:
    """Run an order to its end. Raises nothing of ours: what was refused is in the result.

    Safe to cancel as a whole: then it is as if the process had been killed, and a resume sees to it. With
    `turn`, safe to be called again for the same order, by anybody, at any time: what was begun is resumed,
    and what has ended is told.
    """
    with traced(order, tell) as (heard, ended):
        performed = await _performed(project, open_, order, heard, stop, turn)
        ended(performed.exit_code)
        return performed


async def _performed(
    project: Project, open_: Open, order: Order, tell: Tell, stop: StopRequest, turn: Turn | None
) -> Performed:
    try:
        with ungrouped():
            async with open_(order.requested_by) as adapters:
                result = await _Performance(project, adapters, order, tell, stop, turn).run()
    except LiftlockError as error:
        return Performed(
            error.exit_code,
            {
                "kind": order.kind.value,
                "source": order.source or None,
                "environment": order.environment,
                "exit_code": error.exit_code,
                "error": error_document(error),
            },
        )
    return Performed(int(str(result["exit_code"])), result)


class _Performance:
    def __init__(
        self,
        project: Project,
        adapters: Adapters,
        order: Order,
        tell: Tell,
        stop: StopRequest,
        turn: Turn | None,
    ) -> None:
        self._project = project
        self._adapters = adapters
        self._order = order
        self._tell = tell
        self._stop = stop
        self._turn = turn

    async def run(self) -> dict[str, Any]:
        if self._order.kind is OrderKind.UNKNOWN:
            raise LiftlockError(
                f"Nothing was done in {self._order.environment}: this liftlock does not know what was asked for.",
                hint="Upgrade the workers to the version of the server that took the order, and ask again.",
            )
        check_gates(self._order.options.overrides)
        environment = self._order.environment
        if self._order.kind is OrderKind.RESUME:
            async with unless_stopped(self._stop, environment):
                intent = await resume.open_promotion(self._project, self._adapters, environment)
            if intent is None:
                return resume_document(environment, None, "", Result(Ending.SUCCEEDED, {}, 0.0))
            did, result = await self._resume(intent, self._order.options.choice)
            document = resume_document(environment, intent, did, result)
            if did == "undo" and result.exit_code == 1 and not result.stands_open:
                document["exit_code"] = 0  # it did what it was asked to
            return document
        until = anyio.current_time() + (self._turn.wait_s if self._turn else 0.0)
        while True:
            if (begun := await self._begun()) is not None:
                return await self._take_up(begun)
            try:
                # Before the lease is taken: giving it back would end the journal of whoever died there.
                async with unless_stopped(self._stop, environment):
                    standing = await resume.open_promotion(self._project, self._adapters, environment)
                refuse_open_intents(environment, [standing] if standing else [])
                return await self._plan_and_run()
            except Busy as busy:
                if anyio.current_time() >= until:
                    raise
                self._emit(events.Waiting("lease", LOOK_S, busy.headline))
            async with unless_stopped(self._stop, environment):
                await anyio.sleep(LOOK_S)

    async def _begun(self) -> Intent | None:
        """The run of this very order that somebody began, however it stands."""
        turn = self._turn
        if turn is None:
            return None
        since = turn.asked_at - CLOCKS_DIFFER
        environment = self._order.environment
        async with unless_stopped(self._stop, environment):
            found = await self._adapters.ledger.intents(
                environment, 1, since=since, where=lambda intent: intent.key == turn.key
            )
        return found[0] if found else None

    async def _take_up(self, intent: Intent) -> dict[str, Any]:
        """Resume what a dead worker began, as its own `on_failure` says; or tell how it ended."""
        if intent.is_open:
            try:
                did, result = await self._resume(intent, "")
            except LiftlockError:
                # Its worker was not dead, and ended it while we waited for the lease.
                ended = await self._begun()
                if ended is None or ended.is_open:
                    raise
                return await self._take_up(ended)
            notes = ("Its worker died in the middle, and another one put back what it had switched.",)
            result = replace(result, notes=(*result.notes, *notes)) if did == "undo" else result
        else:
            did, ending = "", _ENDINGS.get(intent.state, Ending.MIXED)
            result = Result(ending, {}, 0.0, intent, notes=(intent.description,))
        document = resume_document(intent.environment, intent, did, result)
        return {**document, "kind": self._order.kind.value, "source": self._order.source or None}

    def _emit(self, event: events.Event) -> None:
        self._tell(events.as_document(event, self._now()))

    def _now(self) -> datetime:
        return self._adapters.clock.now()

    def _show(self, plan: Plan) -> None:
        at = self._now().isoformat(timespec="milliseconds")
        self._tell({"event": "plan", "at": at, "plan": plan_document(plan)})

    async def _plan(self) -> Plan:
        order = self._order
        conditions = Conditions(order.options.accept_drift, order.options.overrides)
        if order.kind is OrderKind.PROMOTION:
            plan = await plan_promotion(
                self._project, self._adapters, order.source, order.environment, order.apps, conditions
            )
        else:
            plan = await plan_rollback(
                self._project,
                self._adapters,
                order.environment,
                to=order.options.to,
                apps=order.apps,
                conditions=conditions,
            )
        if order.plan_digest and plan.digest != order.plan_digest:
            moved = "has moved since" if plan.changes else "needs nothing any more"
            raise Refused(
                f"The plan that was seen no longer holds: {order.environment} {moved}.",
                hint="Nothing was changed. Look at the plan as it is now.",
            )
        return plan

    async def _plan_and_run(self) -> dict[str, Any]:
        order = self._order
        overrides = dict(order.options.overrides)
        if order.options.accept_drift:
            overrides["drift"] = "accepted"
        purpose = f"promotion from {order.source}" if order.source else order.kind.value
        plan, result = await run_under_lease(
            self._project,
            self._adapters,
            order.environment,
            self._plan,
            Terms(
                purpose,
                undo_on_failure=order.options.on_failure == "undo",
                overrides=overrides,
                key=self._turn.key if self._turn else "",
            ),
            show=self._show,
            agree=None,
            emit=self._emit,
            stop=self._stop,
        )
        return result_document(plan, result)

    async def _resume(self, intent: Intent, choice: str) -> tuple[str, Result]:
        environment = intent.environment
        chosen = choice or await resume.recorded_choice(self._project, self._adapters, intent)
        wait_s = self._turn.wait_s if self._turn else 0.0
        terms = Terms(f"resume ({chosen}) of {intent.kind} {intent.id}", wait_s)
        async with held(self._adapters.leases, environment, terms, self._emit) as lease:
            if chosen == "undo":
                result = await resume.undo(
                    self._project,
                    self._adapters,
                    intent,
                    lease=await lease(),
                    emit=self._emit,
                    stop=self._stop,
                )
            else:
                plan = await resume.plan_finish(self._project, self._adapters, intent, await lease())
                self._show(plan)
                refuse_unless_runnable(plan)
                result = await resume.finish(
                    self._project,
                    self._adapters,
                    intent,
                    plan,
                    lease=await lease(),
                    emit=self._emit,
                    stop=self._stop,
                )
        return chosen, result
