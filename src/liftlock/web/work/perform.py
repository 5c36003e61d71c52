"""Do what an order says, by the use cases that the command line calls, and tell how it ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from liftlock.commands import resume
from liftlock.commands.promote import Conditions, check_gates, plan_promotion, refuse_unless_runnable
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms, held, run_under_lease, unless_stopped
from liftlock.engine import events
from liftlock.engine.documents import error_document, result_document, resume_document
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.errors import LiftlockError, Refused, ungrouped
from liftlock.model import Intent, Project
from liftlock.planning.document import plan_document
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.web.work.orders import Event, Order, OrderKind

Open = Callable[[str], AbstractAsyncContextManager[Adapters]]
"""Opens the project's adapters for a person's account: what they change is recorded as theirs."""
Tell = Callable[[Event], None]
"""Hears the events of a run."""


@dataclass(frozen=True, slots=True)
class Performed:
    """How an order ended."""

    exit_code: int
    result: dict[str, Any]


async def perform(project: Project, open_: Open, order: Order, tell: Tell, stop: StopRequest) -> Performed:
    """Run an order to its end. Raises nothing of ours: what was refused is in the result.

    Safe to cancel as a whole: then it is as if the process had been killed, and a resume sees to it.
    """
    try:
        with ungrouped():
            async with open_(order.requested_by) as adapters:
                result = await _Performance(project, adapters, order, tell, stop).run()
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
        self, project: Project, adapters: Adapters, order: Order, tell: Tell, stop: StopRequest
    ) -> None:
        self._project = project
        self._adapters = adapters
        self._order = order
        self._tell = tell
        self._stop = stop

    async def run(self) -> dict[str, Any]:
        check_gates(self._order.options.overrides)
        if self._order.kind is OrderKind.RESUME:
            return await self._resume()
        return await self._plan_and_run()

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
            Terms(purpose, undo_on_failure=order.options.on_failure == "undo", overrides=overrides),
            show=self._show,
            agree=None,
            emit=self._emit,
            stop=self._stop,
        )
        return result_document(plan, result)

    async def _resume(self) -> dict[str, Any]:
        environment = self._order.environment
        async with unless_stopped(self._stop, environment):
            intent = await resume.open_promotion(self._project, self._adapters, environment)
        if intent is None:
            return resume_document(environment, None, "", Result(Ending.SUCCEEDED, {}, 0.0))
        chosen = self._order.options.choice or ("undo" if intent.undo_on_failure else "finish")
        terms = Terms(f"resume ({chosen}) of {intent.kind} {intent.id}")
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
        return _resumed(environment, intent, chosen, result)


def _resumed(environment: str, intent: Intent, chosen: str, result: Result) -> dict[str, Any]:
    """An undo that went well ends with 0: it did what it was asked to."""
    document = resume_document(environment, intent, chosen, result)
    if chosen == "undo" and result.exit_code == 1 and not result.stands_open:
        document["exit_code"] = 0
    return document
