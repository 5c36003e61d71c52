"""What every command that changes something shares: plan, show, ask, run, tell."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence

import anyio

from liftlock.cli import progress
from liftlock.cli.runner import reported
from liftlock.cli.session import Common, import_meanwhile, opened, until_signalled
from liftlock.commands.names import check_names
from liftlock.commands.promote import check_gates
from liftlock.commands.run import Terms, run_under_lease
from liftlock.documents.run import result_document
from liftlock.engine.execute import StopRequest
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project
from liftlock.planning.document import plan_document
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.wiring import endpoint_notes


async def plan_and_run(
    common: Common,
    environment: str,
    make: Callable[[Project, Adapters], Awaitable[Plan]],
    terms: Terms,
    *,
    yes: bool,
    dry_run: bool,
    events: bool,
) -> int:
    """What promote, rollback and deploy share: plan, show, ask, run, tell."""

    project, output = common.project(), common.output(events=events)
    check_names(project, (environment,))

    document: dict[str, object] = {}

    def show(made: Plan) -> None:
        from liftlock.cli import plan_view

        report.shows(project, made)
        plan_view.show_plan(output, project, made, endpoint_notes(project))

    async def work(stop: StopRequest) -> int:
        async with opened(project, output) as adapters:
            import_meanwhile("liftlock.cli.result_view")  # and the plan's, which it builds upon
            if dry_run:
                made = await make(project, adapters)
                report.planned(made)
                if common.json:
                    output.document(plan_document(made))
                else:
                    show(made)
                return 1 if made.blocked else 0
            with progress.view(output, adapters.clock) as tell:
                made, result = await run_under_lease(
                    project,
                    adapters,
                    environment,
                    lambda: make(project, adapters),
                    terms,
                    show=show,
                    agree=None if yes else ask,
                    emit=report.hears(tell),
                    stop=stop,
                )
        from liftlock.cli import result_view

        report.ended(result, made)
        document.update(result_document(made, result))
        if made.changes:
            result_view.show_result(output, made, result)
        return result.exit_code

    with reported(terms.purpose, environment) as report:
        code = await until_signalled(work, output, environment)
        if common.json and document:
            output.document({**document, "exit_code": code})
        report.finished(code)
        return code


def overridden(gates: Sequence[str], reason: str) -> dict[str, str]:
    """The gates that are overridden, each with the reason. Raises `UsageError`."""

    if bool(gates) != bool(reason.strip()):
        raise UsageError(
            "--override and --reason go together.", hint='For example: --override soak --reason "hotfix"'
        )
    check_gates(gates)
    return dict.fromkeys(gates, reason.strip())


async def ask(plan: Plan) -> None:
    """Ask on the terminal. Raises when the answer is not yes, or when there is nobody to ask."""
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked: standard input is not a terminal.",
            hint="Look at the plan, then run the same command with --yes.",
        )
    sys.stdout.flush()
    sys.stderr.write(f"\nChange {plan.environment}? [y/N] ")
    sys.stderr.flush()
    # Not in a thread: the process could not end before its line came.
    await anyio.wait_readable(sys.stdin)
    answer = sys.stdin.readline()
    if answer.strip().lower() not in {"y", "yes"}:
        raise LiftlockError(f"Declined; {plan.environment} was not changed.")
