"""Promotions, rollbacks and resumes that a server runs: planned, shown, agreed to and followed from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio

from liftlock.cli import progress
from liftlock.cli.runner import reported
from liftlock.cli.running import ask
from liftlock.cli.server import Server, asked, error_of
from liftlock.cli.session import Common, until_signalled
from liftlock.commands.names import check_names
from liftlock.commands.promote import refuse_unless_runnable
from liftlock.engine import events as told
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.way_back import Standing
from liftlock.errors import LiftlockError, Refused, UsageError
from liftlock.model import EMPTY, Project
from liftlock.planning.document import plan_document
from liftlock.planning.plan import Plan
from liftlock.wiring import SystemClock


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server is asked to run, in the words of its API."""

    what: str
    """`promotions` or `rollbacks`."""
    environment: str
    source: str
    apps: Sequence[str]
    accept_drift: bool = False
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    plan_digest: str = ""
    """Of a saved plan: another one is refused."""
    wait: str = "0s"
    more: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def purpose(self) -> str:
        return f"promotion from {self.source}" if self.source else "rollback"

    async def plan(self, server: Server) -> Plan:
        """The plan as the server makes it now."""
        conditions: dict[str, Any] = {
            "accept_drift": self.accept_drift,
            "override": tuple(self.overrides),
            "reason": self._reason,
        }
        if self.source:
            made: Plan = await server.value(
                "plan", source=self.source, target=self.environment, app=tuple(self.apps), **conditions
            )
        else:
            made = await server.value(
                "rollback-plan",
                environment=self.environment,
                to=str(self.more.get("to", "")),
                app=tuple(self.apps),
                **conditions,
            )
        if self.plan_digest and made.digest != self.plan_digest:
            raise Refused(
                f"The saved plan no longer holds: {self.environment} or its source has moved since.",
                hint="Nothing was changed. Make it again: liftlock plan SOURCE TARGET --out FILE",
            )
        return made

    def body(self, plan: Plan) -> dict[str, Any]:
        place = (
            {"source": self.source, "target": self.environment}
            if self.source
            else {"environment": self.environment}
        )
        return {
            **place,
            "apps": list(self.apps),
            "plan": plan.digest,
            "accept_drift": self.accept_drift,
            "override": list(self.overrides),
            "reason": self._reason,
            "confirm": self.environment,
            **self.more,
        }

    @property
    def _reason(self) -> str:
        return next(iter(self.overrides.values()), "")


async def run_at_server(
    common: Common, url: str, order: Asked, *, yes: bool, dry_run: bool, events: bool
) -> int:
    """As `running.plan_and_run`, at a server. The first signal asks it to stop and undo; the second leaves it."""
    _refuse_wait(order.wait)
    output = common.output(events=events)
    document: dict[str, Any] = {}

    async def work(stop: StopRequest) -> int:
        async with asked(url) as server:
            project, notes = await server.value("project")
            check_names(project, (order.environment, *([order.source] if order.source else ())), order.apps)
            plan = await order.plan(server)
            if common.json and dry_run:
                output.document(plan_document(plan))
                return 1 if plan.blocked else 0
            from liftlock.cli import plan_view, result_view

            report.shows(project, plan)
            plan_view.show_plan(output, project, plan, {key: list(each) for key, each in notes.items()})
            if dry_run:
                report.planned(plan)
                return 1 if plan.blocked else 0
            refuse_unless_runnable(plan)
            if not plan.changes:
                return 0
            if not yes:
                await ask(plan)
            begun = await server.change("POST", order.what, body=order.body(plan))
            with progress.view(output, SystemClock()) as view:
                ended = await _followed(server, begun, report.hears(view), stop)
            _raise_unless_begun(ended)
            result = await _result(server, ended)
            report.ended(result, plan)
            document.update(ended["result"])
            result_view.show_result(output, plan, result)
            return int(ended["exit_code"])

    with reported(order.purpose, order.environment) as report:
        code = await until_signalled(work, output, order.environment)
        if common.json and document:
            output.document({**document, "exit_code": code})
        report.finished(code)
        return code


async def resume_at_server(
    common: Common, url: str, environment: str, choice: str, wait: str, *, yes: bool, events: bool
) -> int:
    """As `resume.resume_open`, at a server."""
    from liftlock.cli.result_view import show_undone, told_intent
    from liftlock.cli.resume import choose
    from liftlock.commands.status import Status

    _refuse_wait(wait)
    output = common.output(events=events)
    document: dict[str, Any] = {}

    async def work(stop: StopRequest) -> int:
        async with asked(url) as server:
            project: Project
            project, _ = await server.value("project")
            check_names(project, (environment,))
            status: Status = await server.value("status", environment=environment)
            intents = status.open_intents.get(environment, ())
            if not intents:
                output.line(f"Nothing stands open in {environment}.", style="green")
                return 0
            intent = intents[0]
            output.line(told_intent(intent, datetime.now(UTC)), style="bold", hang=0)
            chosen = choice or await choose(intent, yes=yes)
            body = {"environment": environment, "choice": chosen, "confirm": environment}
            begun = await server.change("POST", "resumes", body=body)
            with progress.view(output, SystemClock()) as view:
                ended = await _followed(server, begun, report.hears(view), stop)
            _raise_unless_begun(ended)
            result = await _result(server, ended)
            report.ended(result, intent=intent)
            document.update(ended["result"])
            if chosen == "undo":
                show_undone(output, intent, result)
            else:
                output.line(f"{intent.id} in {environment}: {result.ending}.", style="bold")
            return int(ended["exit_code"])

    with reported("resume", environment) as report:
        code = await until_signalled(work, output, environment)
        if common.json and document:
            output.document({**document, "exit_code": code})
        report.finished(code)
        return code


async def _followed(
    server: Server, run: Mapping[str, Any], emit: told.Emit, stop: StopRequest
) -> Mapping[str, Any]:
    """The run as it ended; meanwhile its events go to `emit`, and a request to stop to the server."""
    if run["position"]:
        emit(told.Waiting("lease", 0.0, f"{run['position']} before this one in {run['environment']}"))
    ended: Mapping[str, Any] = run

    async def pass_on() -> None:
        await stop.wait()
        try:
            await server.change("DELETE", "runs", run["id"])
        except LiftlockError as error:  # it may have ended by itself
            emit(told.Notice(f"the server was asked to stop, and says: {error.headline}"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pass_on)
        async for kind, document in server.events(run["id"]):
            if kind == "end":
                ended = document
            elif (event := told.from_document(document)) is not None:
                emit(event)
        tasks.cancel_scope.cancel()
    return ended


def _raise_unless_begun(ended: Mapping[str, Any]) -> None:
    """Raises what was refused before the first change, with the exit code that it had there."""
    result = ended.get("result") or {}
    if ended["state"] == "withdrawn":
        raise LiftlockError(f"{ended['environment']} was not changed: the order was withdrawn.")
    if "ending" not in result:
        raise error_of(result.get("error") or {}, int(ended.get("exit_code") or 1))


async def _result(server: Server, ended: Mapping[str, Any]) -> Result:
    """How the run ended, as the view takes it; details are those of the ledger."""
    document = ended["result"]
    account: Any = None
    if document.get("promotion"):
        try:
            account = await server.value("promotions", str(document["promotion"]))
        except LiftlockError:  # what the result says is enough to tell how it ended
            account = None
    error = document.get("error")
    return Result(
        Ending(document["ending"]),
        {app: Standing(standing) for app, standing in document.get("apps", {}).items()},
        float(document.get("elapsed_s") or 0.0),
        intent=getattr(account, "intent", None),
        deployments=getattr(account, "records", None),
        backups=tuple(getattr(account, "backups", ())),
        cause=error_of(error, 1) if error else None,
        failed_step=str(document.get("failed_step") or ""),
        interrupted="" if error else str(document.get("cause") or ""),
        put_back=tuple(document.get("put_back", ())),
        notes=tuple(document.get("notes", ())),
    )


def _refuse_wait(wait: str) -> None:
    if wait != "0s":
        raise UsageError(
            "--wait is for this machine alone: a server queues what it is asked to do.", hint="Leave it out."
        )
