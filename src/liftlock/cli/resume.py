"""`liftlock resume`: shows what stands open, asks what to do with it, and does it."""

from __future__ import annotations

import sys
from typing import Annotated

import anyio

from liftlock.cli import plan_view, progress, result_view
from liftlock.cli.options import DEFAULTS, EnvironmentName, Flag, Wait, seconds
from liftlock.cli.runner import reported
from liftlock.cli.session import Common, opened, until_signalled
from liftlock.commands import resume as use_case
from liftlock.commands.promote import refuse_unless_runnable
from liftlock.commands.run import Terms, held, unless_stopped
from liftlock.documents.run import resume_document
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.errors import UsageError
from liftlock.model import Intent
from liftlock.wiring import endpoint_notes


async def resume(
    environment: EnvironmentName,
    /,
    *,
    finish: Annotated[bool, Flag] = False,
    undo: Annotated[bool, Flag] = False,
    yes: Annotated[bool, Flag] = False,
    wait: Wait = "0s",
    events: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Finish or undo a promotion that was interrupted, from any machine.

    With neither --finish nor --undo it asks; without a terminal it does what the promotion's own
    --on-failure said.

    Parameters
    ----------
    environment:
        The environment in which it stands open.
    finish:
        Do what is left of it. Nothing is released twice, no backup is taken twice.
    undo:
        Put back what it switched.
    yes:
        Do not ask.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    events:
        Print events, one JSON document a line, while it runs.
    """

    if finish and undo:
        raise UsageError("--finish and --undo exclude each other.", hint="Choose one.")
    choice = "finish" if finish else "undo" if undo else ""
    if url := common.server_url():
        from liftlock.cli.server_runs import resume_at_server

        return await resume_at_server(common, url, environment, choice, wait, yes=yes, events=events)
    return await resume_open(common, environment, choice, seconds(wait), yes=yes, events=events)


async def resume_open(
    common: Common, environment: str, choice: str, wait_s: float, *, yes: bool, events: bool
) -> int:
    """Finish or undo what stands open in `environment`; `choice` is "finish", "undo" or "" to ask."""
    project, output = common.project(), common.output(events=events)
    document: dict[str, object] = {}

    async def work(stop: StopRequest) -> int:
        async with opened(project, output) as adapters:
            async with unless_stopped(stop, environment):
                intent = await use_case.open_promotion(project, adapters, environment)
                if intent is None:
                    output.line(f"Nothing stands open in {environment}.", style="green")
                    nothing = Result(Ending.SUCCEEDED, {}, 0.0)
                    document.update(resume_document(environment, None, "", nothing))
                    return 0
                now = adapters.clock.now()
                output.line(result_view.told_intent(intent, now), style="bold", hang=0)
                chosen = choice or await choose(intent, yes=yes)
            terms = Terms(f"resume ({chosen}) of {intent.kind} {intent.id}", wait_s)
            with progress.view(output, adapters.clock) as view:
                tell = report.hears(view)
                async with held(adapters.leases, environment, terms, tell) as lease:
                    if chosen == "undo":
                        result = await use_case.undo(
                            project, adapters, intent, lease=await lease(), emit=tell, stop=stop
                        )
                        report.ended(result, intent=intent)
                        result_view.show_undone(output, intent, result)
                    else:
                        plan = await use_case.plan_finish(project, adapters, intent, await lease())
                        report.shows(project, plan)
                        plan_view.show_plan(output, project, plan, endpoint_notes(project))
                        refuse_unless_runnable(plan)
                        result = await use_case.finish(
                            project, adapters, intent, plan, lease=await lease(), emit=tell, stop=stop
                        )
                        report.ended(result, plan)
                        result_view.show_result(output, plan, result)
            document.update(resume_document(environment, intent, chosen, result))
            was_undone = chosen == "undo" and result.exit_code == 1 and not result.stands_open
            return 0 if was_undone else result.exit_code

    with reported("resume", environment) as report:
        code = await until_signalled(work, output, environment)
        if common.json:
            output.document({**document, "exit_code": code})
        report.finished(code)
        return code


async def choose(intent: Intent, *, yes: bool) -> str:
    """What a person says; without one, what the promotion's own --on-failure said."""
    recorded = "undo" if intent.undo_on_failure else "finish"
    if yes or not sys.stdin.isatty():
        return recorded
    sys.stdout.flush()
    sys.stderr.write(f"Finish it or undo it? [finish/undo; Enter for {recorded}] ")
    sys.stderr.flush()
    # Not in a thread: the process could not end before its line came.
    await anyio.wait_readable(sys.stdin)
    answer = sys.stdin.readline().strip().lower()
    if answer in {"f", "finish"}:
        return "finish"
    return "undo" if answer in {"u", "undo"} else recorded
