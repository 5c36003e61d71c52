"""The commands. Each gathers its arguments, calls one use case, and renders what it gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import anyio
from cyclopts import App, CycloptsError, Parameter

from liftlock import __version__
from liftlock.cli.backups import backups, rollback_with_databases
from liftlock.cli.output import print_error
from liftlock.cli.session import Common, import_meanwhile, opened, until_signalled
from liftlock.errors import LiftlockError, UsageError, ungrouped
from liftlock.model import Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters

if TYPE_CHECKING:
    from liftlock.commands.run import Terms
    from liftlock.engine.execute import StopRequest

Flag = Parameter(negative="")
Wait = Annotated[str, Parameter(show_default=True)]
DEFAULTS = Common()

app = App(
    name="liftlock",
    help="Build once, and lift the same bytes from environment to environment.",
    version=f"liftlock {__version__}",
    help_format="plaintext",
    end_of_options_delimiter="--",
    default_parameter=Parameter(show_default=False),
)
app.command(backups)


def run(arguments: Sequence[str]) -> int:
    """Parse and run; every error that is ours becomes a message and its exit code."""
    color = "--no-color" not in arguments
    try:
        with ungrouped():
            code = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except LiftlockError as error:
        print_error(error, color=color)
        return error.exit_code
    except CycloptsError as error:
        print_error(UsageError(str(error), hint="See: liftlock --help"), color=color)
        return UsageError.exit_code
    except BrokenPipeError:
        # Nobody reads any more; what Python would flush at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if "--debug" in arguments:
            raise
        print_error(
            LiftlockError(
                f"liftlock itself failed: {type(error).__name__}: {error}",
                hint="That is a defect: please report it. The same command with --debug shows where.",
            ),
            color=color,
        )
        return 1


@app.command
async def plan(
    source: str,
    target: str,
    /,
    *apps: str,
    out: Path | None = None,
    accept_drift: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Show what a promotion would do, step by step. Changes nothing.

    Parameters
    ----------
    source:
        The environment whose recorded releases are lifted.
    target:
        The environment that they are lifted to.
    apps:
        Only these apps; all of them without.
    out:
        Save the plan, to be reviewed and run with `promote --plan FILE`.
    accept_drift:
        Plan to overwrite what runs in the target unrecorded.
    """
    from liftlock.cli import plan_view
    from liftlock.commands.promote import Conditions, plan_promotion
    from liftlock.planning.document import plan_document
    from liftlock.wiring import endpoint_notes

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        made = await plan_promotion(
            project, adapters, source, target, apps, Conditions(accept_drift=accept_drift)
        )
    if out is not None:
        _save(plan_document(made), out)
    if common.json:
        output.document(plan_document(made))
    else:
        plan_view.show_plan(output, project, made, endpoint_notes(project))
        if out is not None:
            output.line(f"Saved in {out}. Run exactly this with: liftlock promote --plan {out}")
    return 1 if made.blocked else 0


@app.command
async def promote(
    source: str = "",
    target: str = "",
    /,
    *apps: str,
    plan: Path | None = None,
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    on_failure: Literal["undo", "stop"] = "undo",
    accept_drift: Annotated[bool, Flag] = False,
    override: list[str] | None = None,
    reason: str = "",
    wait: Wait = "0s",
    events: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Lift what the source environment records into the target: shows the plan, asks, runs it.

    Parameters
    ----------
    source:
        The environment whose recorded releases are lifted.
    target:
        The environment that they are lifted to.
    apps:
        Only these apps; all of them without.
    plan:
        Run this saved plan as it stands, or not at all.
    yes:
        Do not ask.
    dry_run:
        Show the plan and stop, as `plan` does.
    on_failure:
        Put back what was switched, or leave everything as it stands.
    accept_drift:
        Overwrite what runs in the target unrecorded; the record says that you did.
    override:
        A gate to pass although it refuses; may be given several times, and needs --reason.
    reason:
        Why the gates are overridden; recorded, and told to whoever is notified.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    events:
        Print events, one JSON document a line, while it runs.
    """
    from liftlock.commands.promote import Conditions, plan_promotion
    from liftlock.commands.run import Terms
    from liftlock.commands.saved import replan
    from liftlock.planning.document import saved_plan

    if bool(plan) == bool(source or target) or bool(source) != bool(target):
        raise UsageError(
            "promote takes SOURCE and TARGET, or --plan FILE.",
            hint="For example: liftlock promote dev staging",
        )
    conditions = Conditions(accept_drift, _overridden(override or (), reason))
    document = saved_plan(_load(plan), str(plan)) if plan else None

    async def make(project: Project, adapters: Adapters) -> Plan:
        if document is not None:
            return await replan(project, adapters, document, conditions)
        return await plan_promotion(project, adapters, source, target, apps, conditions)

    overrides = dict(conditions.overrides) | ({"drift": "--accept-drift"} if accept_drift else {})
    return await _plan_and_run(
        common,
        document.environment if document is not None else target,
        make,
        Terms(
            f"promotion from {document.source if document is not None else source}",
            _seconds(wait),
            on_failure == "undo",
            overrides,
        ),
        yes=yes,
        dry_run=dry_run,
        events=events,
    )


@app.command
async def rollback(
    environment: str,
    /,
    *apps: str,
    to: str = "",
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    accept_drift: Annotated[bool, Flag] = False,
    restore_database: Annotated[bool, Flag] = False,
    confirm: str = "",
    override: list[str] | None = None,
    reason: str = "",
    wait: Wait = "0s",
    events: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Take an environment back to before its last promotion, or to where an earlier one left it.

    Parameters
    ----------
    environment:
        The environment to roll back.
    apps:
        Only these apps.
    to:
        The id of a promotion in `history`: go back to the deployments as it left them. Or a time
        (2026-11-20T12:00, in UTC unless it says otherwise), or how long ago (2h): as they were then.
    yes:
        Do not ask.
    dry_run:
        Show the plan and stop.
    accept_drift:
        Overwrite what runs there unrecorded.
    restore_database:
        Once the code is back, restore its databases from the backups that were taken before. What was
        written since is lost.
    confirm:
        With --restore-database: the environment's name once more, where nobody can be asked to type it.
    override:
        backup-size, to go on although a backup's size collapsed; needs --reason.
    reason:
        Why; recorded.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    events:
        Print events, one JSON document a line, while it runs.
    """
    from liftlock.commands.promote import Conditions
    from liftlock.commands.rollback import plan_rollback
    from liftlock.commands.run import Terms

    async def make(project: Project, adapters: Adapters) -> Plan:
        return await plan_rollback(
            project, adapters, environment, to=to, apps=apps, conditions=Conditions(accept_drift)
        )

    overrides = _overridden(override or (), reason) | ({"drift": "--accept-drift"} if accept_drift else {})
    terms = Terms("rollback", _seconds(wait), overrides=overrides)
    if restore_database:
        return await rollback_with_databases(
            common, environment, make, terms,
            yes=yes, confirm=confirm, dry_run=dry_run, events=events, ask=_ask,
        )  # fmt: skip
    return await _plan_and_run(common, environment, make, terms, yes=yes, dry_run=dry_run, events=events)


@app.command
async def deploy(
    environment: str = "",
    /,
    *apps: str,
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    override: list[str] | None = None,
    reason: str = "",
    wait: Wait = "30m",
    events: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Make this checkout's artifacts present everywhere, and release them in the first environment.

    Parameters
    ----------
    environment:
        Where to release [default: the first environment].
    apps:
        Only these apps.
    yes:
        Do not ask.
    dry_run:
        Publish, show the plan, and release nothing.
    override:
        backup-size, to go on although a backup's size collapsed; needs --reason.
    reason:
        Why; recorded.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    events:
        Print events, one JSON document a line, while it runs.
    """
    from liftlock.commands.deploy import Checkout, first_environment, plan_deploy
    from liftlock.commands.run import Terms
    from liftlock.source_code import head
    from liftlock.wiring import is_on_loopback

    async def make(project: Project, adapters: Adapters) -> Plan:
        here = await head(Path.cwd())
        if here.dirty and not is_on_loopback(project):
            raise UsageError(
                "The work tree has changes that are not committed, so no commit names what would be deployed.",
                hint="Commit or stash them, then deploy again.",
            )
        checkout = Checkout(Path.cwd(), here.repository, here.commit.sha, here.dirty)
        output = common.output(events=events)
        return await plan_deploy(
            project,
            adapters,
            checkout,
            place,
            apps,
            lambda name, text: output.aside(f"  {name:<12} {text}"),
        )

    place = environment or first_environment(common.project())
    terms = Terms("deploy", _seconds(wait), overrides=_overridden(override or (), reason))
    return await _plan_and_run(common, place, make, terms, yes=yes, dry_run=dry_run, events=events)


@app.command
async def record(
    environment: str,
    /,
    *apps: str,
    commit: str = "",
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    wait: Wait = "0s",
    events: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Write what really runs into the ledger, after a change by hand. Switches nothing.

    Parameters
    ----------
    environment:
        The environment whose records are to tell what runs there.
    apps:
        Only these apps; every app that has drifted without.
    commit:
        The commit that they were built from, where no record tells it.
    yes:
        Do not ask.
    dry_run:
        Show what would be recorded, and stop.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    events:
        Print events, one JSON document a line, while it runs.
    """
    from liftlock.commands.record import plan_record
    from liftlock.commands.run import Terms

    async def make(project: Project, adapters: Adapters) -> Plan:
        return await plan_record(project, adapters, environment, apps, commit)

    terms = Terms("record of what runs", _seconds(wait))
    return await _plan_and_run(common, environment, make, terms, yes=yes, dry_run=dry_run, events=events)


@app.command
async def approve(
    plan_digest: str,
    /,
    *,
    environment: str = "",
    expires_in: str = "24h",
    common: Common = DEFAULTS,
) -> int:
    """Approve a plan, and nothing but that plan. One's own approval does not count.

    Parameters
    ----------
    plan_digest:
        The whole digest, as the plan shows it where approvals are needed.
    environment:
        The environment that the plan changes [default: the only one that asks for approvals].
    expires_in:
        For how long the approval counts [default: 24h].
    """
    from liftlock.commands.approve import approve_plan

    lasts_s = _seconds(expires_in, "--expires-in")
    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        where, given = await approve_plan(project, adapters, plan_digest, environment, lasts_s)
    if common.json:
        output.document(
            {
                "plan": plan_digest,
                "environment": where,
                "by": given.account,
                "at": given.at.isoformat(),
                "expires_at": given.expires_at.isoformat(),
            }
        )
    else:
        until = f"{given.expires_at:%Y-%m-%d %H:%M} UTC"
        output.line(f"{given.account} approves plan {plan_digest[:12]} for {where}, until {until}.")
    return 0


@app.command
async def status(
    environment: str = "",
    /,
    *,
    check: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Show what is recorded and what runs, every app in every environment. Changes nothing.

    Parameters
    ----------
    environment:
        Only this one.
    check:
        Exit 5 where running differs from recorded, 1 where it could not be looked at.
    """
    from liftlock.cli import status_view
    from liftlock.commands.promote import check_names
    from liftlock.commands.status import look_at

    project, output = common.project(), common.output()
    if environment:
        check_names(project, (environment,))
    environments = [environment] if environment else list(project.environments)
    async with opened(project, output) as adapters:
        seen = await look_at(project, adapters, environments)
        now = adapters.clock.now()
    if common.json:
        output.document(status_view.status_document(seen))
    else:
        status_view.show_status(output, project, seen, environments, now)
    if check and seen.drifted:
        return 5
    return 1 if check and seen.unseen else 0


@app.command
async def history(
    environment: str = "",
    /,
    *,
    limit: int = 20,
    common: Common = DEFAULTS,
) -> int:
    """Show who put what where, when, from where, and how it ended. Changes nothing.

    Parameters
    ----------
    environment:
        Only this one.
    limit:
        How many entries, newest first.
    """
    from liftlock.cli import status_view
    from liftlock.commands.history import read_history

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        entries = await read_history(project, adapters, environment or None, limit)
        now = adapters.clock.now()
    if common.json:
        output.document(status_view.history_document(entries))
    else:
        status_view.show_history(output, entries, now)
    return 0


lease = App(
    name="lease",
    help="See who holds an environment, or take it away from a holder that is gone.",
    help_format="plaintext",
)
app.command(lease)


@lease.command
async def show(
    environment: str,
    /,
    *,
    common: Common = DEFAULTS,
) -> int:
    """Show who holds an environment, for what, since when and until when. Changes nothing.

    Parameters
    ----------
    environment:
        The environment.
    """
    from liftlock.cli import lease_view
    from liftlock.commands.lease import show_lease

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        holding = await show_lease(project, adapters, environment)
    if common.json:
        output.document(lease_view.lease_document(environment, holding))
    else:
        output.line(lease_view.held(environment, holding))
    return 0


@lease.command(name="break")
async def break_(
    environment: str,
    /,
    *,
    reason: str,
    common: Common = DEFAULTS,
) -> int:
    """Take an environment away from its holder: for one that was killed, and whose time is not over.

    A holder that still runs stops before its next change, and says who broke its lease and why.

    Parameters
    ----------
    environment:
        The environment.
    reason:
        Why; recorded, and told to the holder.
    """
    from liftlock.cli import lease_view
    from liftlock.commands.lease import break_lease

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        holding = await break_lease(project, adapters, environment, reason)
    if common.json:
        output.document(lease_view.lease_document(environment, holding))
    else:
        output.line(lease_view.broken(holding))
    return 0


@app.command
def sandbox(
    *,
    state: Path | None = None,
    port: int = 0,
    modelled: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Run the embedded cloud until stopped: GitHub, Heroku, its registry, Postgres, Firebase, Slack.

    Parameters
    ----------
    state:
        The folder that keeps its state [default: a temporary one].
    port:
        The loopback port [default: a free one].
    modelled:
        No processes and no PostgreSQL: only what the vendors would answer.
    """
    from liftlock.cli.sandbox import run_sandbox

    return run_sandbox(common, state, port, modelled=modelled)


@app.command
def demo(
    *,
    keep: Annotated[bool, Flag] = False,
) -> int:
    """Show the main job on the embedded cloud: deploy, promote with backups, fail, roll back.

    Parameters
    ----------
    keep:
        Leave the cloud running at the end, and say how to use it and how to stop it.
    """
    from liftlock.cli.sandbox import run_demo

    return run_demo(keep=keep or os.environ.get("DEMO") == "keep")


async def _plan_and_run(
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
    from liftlock.cli import progress
    from liftlock.commands.promote import check_names
    from liftlock.commands.run import run_under_lease
    from liftlock.planning.document import plan_document
    from liftlock.wiring import endpoint_notes

    project, output = common.project(), common.output(events=events)
    check_names(project, (environment,))

    def show(made: Plan) -> None:
        from liftlock.cli import plan_view

        plan_view.show_plan(output, project, made, endpoint_notes(project))

    async def work(stop: StopRequest) -> int:
        async with opened(project, output) as adapters:
            import_meanwhile("liftlock.cli.plan_view")
            if dry_run:
                made = await make(project, adapters)
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
                    agree=None if yes else _ask,
                    emit=tell,
                    stop=stop,
                )
        from liftlock.cli import plan_view

        if common.json:
            output.document(plan_view.result_document(made, result))
        if made.changes:
            plan_view.show_result(output, made, result)
        return result.exit_code

    return await until_signalled(work, output, environment)


@app.command
async def resume(
    environment: str,
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
    from liftlock.cli.resume import resume_open

    if finish and undo:
        raise UsageError("--finish and --undo exclude each other.", hint="Choose one.")
    choice = "finish" if finish else "undo" if undo else ""
    return await resume_open(common, environment, choice, _seconds(wait), yes=yes, events=events)


def _overridden(gates: Sequence[str], reason: str) -> dict[str, str]:
    """The gates that are overridden, each with the reason. Raises `UsageError`."""
    from liftlock.commands.promote import check_gates

    if bool(gates) != bool(reason.strip()):
        raise UsageError(
            "--override and --reason go together.", hint='For example: --override soak --reason "hotfix"'
        )
    check_gates(gates)
    return dict.fromkeys(gates, reason.strip())


def _seconds(duration: str, option: str = "--wait") -> float:
    """A duration of the command line. Raises `UsageError`."""
    from liftlock.config import duration_s

    try:
        return duration_s(duration)
    except ValueError as error:
        raise UsageError(f"{option} {duration}: {error}", hint=f"For example: {option} 10m") from error


async def _ask(plan: Plan) -> None:
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


def _save(document: dict[str, object], path: Path) -> None:
    import json

    try:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The plan could not be saved in {path}: {error.strerror}.") from error


def _load(path: Path) -> object:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The plan in {path} could not be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not a saved plan: it is not JSON ({error}).",
            hint="Make one with: liftlock plan SOURCE TARGET --out FILE",
        ) from error
