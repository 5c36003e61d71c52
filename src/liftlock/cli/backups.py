"""`liftlock backups …`: an environment's databases and their backups."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from cyclopts import App, Parameter

from liftlock.cli.backups_view import show_list, show_verdict, told_restore
from liftlock.cli.examples import epilogue
from liftlock.cli.looks import looking
from liftlock.cli.options import AppName, EnvironmentName
from liftlock.cli.output import Output
from liftlock.cli.session import Common, opened, until_signalled
from liftlock.documents.backups import backup_document, captured_document, restored_document, verdict_document
from liftlock.documents.run import result_document
from liftlock.errors import BackupFailed, LiftlockError, UsageError

if TYPE_CHECKING:
    from liftlock.commands.backups import Kept
    from liftlock.commands.restore import Restored
    from liftlock.commands.run import Terms
    from liftlock.engine.execute import StopRequest
    from liftlock.engine.outcome import Result
    from liftlock.model import Project
    from liftlock.planning.plan import Plan
    from liftlock.ports import Adapters

Flag = Parameter(negative="")
Wait = Annotated[str, Parameter(show_default=True)]
DEFAULTS = Common()

backups = App(
    name="backups",
    help="List, take, download, verify, restore and prune the databases' backups.",
    help_format="plaintext",
    default_parameter=Parameter(show_default=False),
)


@backups.command(name="list", help_epilogue=epilogue("backups list"))
async def list_(environment: EnvironmentName, /, *apps: AppName, common: Common = DEFAULTS) -> int:
    """List the complete backups of an environment's databases, newest first. Changes nothing.

    Parameters
    ----------
    environment:
        The environment.
    apps:
        Only these apps' [default: those with `backup` in the configuration].
    """
    output = common.output()
    async with looking(common, output) as looks:
        listed = await looks.backups(environment, apps)
    if common.json:
        output.document({"environment": environment, "backups": [backup_document(one) for one in listed]})
    else:
        show_list(output, environment, listed)
    return 0


@backups.command(help_epilogue=epilogue("backups capture"))
async def capture(environment: EnvironmentName, /, *apps: AppName, common: Common = DEFAULTS) -> int:
    """Back up all databases of an environment at once, one that several apps share once.

    Parameters
    ----------
    environment:
        The environment.
    apps:
        Only these apps' [default: those with `backup` in the configuration].
    """
    from liftlock import wording
    from liftlock.commands.backups import capture_backups

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        captured = await capture_backups(project, adapters, environment, apps, _teller(output))
    for one in captured:
        if one.backup is not None:
            size = wording.size(one.backup.size_bytes)
            taken_s = (one.backup.finished_at - one.backup.started_at).total_seconds()
            output.line(f"{one.backup.id} of {one.used.whose}: {size} in {wording.duration(taken_s)}")
        if one.note:
            output.line(f"  look at it: {one.note}", style="yellow")
    if common.json:
        output.document({"environment": environment, "backups": [captured_document(one) for one in captured]})
    failed = [one.error for one in captured if one.error is not None]
    if failed:
        raise BackupFailed(
            "\n".join(error.message for error in failed), hint=" ".join({e.hint: None for e in failed})
        )
    return 0


@backups.command(help_epilogue=epilogue("backups download"))
async def download(
    environment: EnvironmentName, app: AppName, backup: str = "", /, *, out: Path, common: Common = DEFAULTS
) -> int:
    """Write a backup to a file, an archive of pg_dump. It never overwrites one.

    Parameters
    ----------
    environment:
        The environment.
    app:
        The app whose database it is of.
    backup:
        Its id in `backups list` [default: the newest].
    out:
        The file.
    """
    from liftlock.commands.backup_files import download as fetch

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        kept = await fetch(project, adapters, environment, app, backup, out, output.aside)
    if common.json:
        output.document(backup_document(kept.listed) | {"file": str(out)})
    else:
        output.line(f"{kept.backup.id} of {kept.used.whose} is in {out}.", style="green")
    return 0


@backups.command(help_epilogue=epilogue("backups verify"))
async def verify(
    environment: EnvironmentName,
    app: AppName,
    backup: str = "",
    /,
    *,
    into: str = "",
    exact: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Restore a backup into a scratch PostgreSQL, and compare its tables with the database's own.

    It fails when pg_restore does, when a table is missing, and when one is empty that has rows in the
    database now. Other numbers of rows are shown: a database moves on.

    Parameters
    ----------
    environment:
        The environment.
    app:
        The app whose database it is of.
    backup:
        Its id in `backups list` [default: the newest].
    into:
        A server for the scratch database: env:NAME, keyring:NAME, or an address without a password
        [default: the embedded one].
    exact:
        Any difference fails: for a database that nobody writes to.
    """
    from liftlock.commands.backup_files import verify as restored_and_compared
    from liftlock.wiring import scratch_database

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters, scratch_database(into) as scratch:
        verdict = await restored_and_compared(
            project, adapters, environment, app, backup, scratch, output.aside
        )
    passed = verdict.passed(exact=exact)
    if common.json:
        output.document(verdict_document(verdict, passed=passed))
    else:
        show_verdict(output, verdict, passed=passed)
    return 0 if passed else 1


@backups.command(help_epilogue=epilogue("backups restore"))
async def restore(
    environment: EnvironmentName,
    app: AppName,
    backup: str,
    /,
    *,
    confirm: str = "",
    wait: Wait = "0s",
    common: Common = DEFAULTS,
) -> int:
    """Make a database what it was when a backup was taken. What was written since is lost.

    Under the environment's lease, in maintenance mode, and after a fresh backup of what stands.

    Parameters
    ----------
    environment:
        The environment.
    app:
        The app whose database it is.
    backup:
        The backup's id in `backups list`.
    confirm:
        The environment's name once more, where nobody can be asked to type it.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    """
    from liftlock.commands.backups import find_backup

    project, output = common.project(), common.output()
    wait_s = _seconds(wait)

    async def work(stop: StopRequest) -> int:
        async with opened(project, output) as adapters:
            kept = await find_backup(project, adapters, environment, app, backup)
            output.line(told_restore(kept), style="bold")
            await _confirmed(environment, confirm)
            restored = await _restore(project, adapters, environment, [kept], wait_s, output, stop)
        if common.json:
            output.document(
                {"environment": environment, "restored": [restored_document(one) for one in restored]}
            )
        return 0

    return await until_signalled(work, output)


@backups.command(help_epilogue=epilogue("backups prune"))
async def prune(
    environment: EnvironmentName,
    /,
    *,
    keep: int,
    yes: Annotated[bool, Flag] = False,
    wait: Wait = "0s",
    common: Common = DEFAULTS,
) -> int:
    """Delete old backups: never the newest, and never one that a record or a journal names.

    Parameters
    ----------
    environment:
        The environment.
    keep:
        How many of each database to keep, at least 1.
    yes:
        Do not ask.
    wait:
        How long to wait for whoever holds the environment, such as 10m.
    """
    from liftlock.commands import backups as command
    from liftlock.commands.run import Terms, held

    project, output = common.project(), common.output()
    wait_s = _seconds(wait)
    async with opened(project, output) as adapters:
        planned = await command.plan_prune(project, adapters, environment, keep)
        show_list(output, environment, [one.listed for one in planned.delete], "to be deleted")
        if planned.named:
            output.line(f"{len(planned.named)} older ones stay, since records name them.")
        deleted: Sequence[Kept] = ()
        if planned.delete:
            if not yes:
                await _asked(f"Delete {len(planned.delete)} backups of {environment}? [y/N] ", environment)
            async with held(
                adapters.leases, environment, Terms("pruning of backups", wait_s), lambda _: None
            ) as lease:
                journal = (await lease()).journal
                now = await command.plan_prune(project, adapters, environment, keep, journal)
                agreed = {(one.backup.database, one.backup.id) for one in planned.delete}
                deleted = [one for one in now.delete if (one.backup.database, one.backup.id) in agreed]
                await command.prune(command.Pruning(tuple(deleted), ()))
            output.line(f"Deleted {len(deleted)}.", style="green")
    if common.json:
        output.document(
            {"environment": environment, "deleted": [backup_document(one.listed) for one in deleted]}
        )
    return 0


async def rollback_with_databases(
    common: Common,
    environment: str,
    make: Callable[[Project, Adapters], Any],
    terms: Terms,
    *,
    yes: bool,
    confirm: str,
    dry_run: bool,
    events: bool,
    ask: Callable[[Plan], Any],
) -> int:
    """`rollback --restore-database`: the code goes back first, then the databases from before."""
    from liftlock.cli import plan_view, progress, result_view
    from liftlock.cli.runner import reported
    from liftlock.commands.restore import backups_before, roll_back_and_restore
    from liftlock.wiring import endpoint_notes

    project, output = common.project(), common.output(events=events)

    async def work(stop: StopRequest) -> int:
        async with opened(project, output) as adapters:

            def show(made: Plan, chosen: Sequence[Kept]) -> None:
                report.shows(project, made)
                plan_view.show_plan(output, project, made, endpoint_notes(project))
                for kept in chosen:
                    output.line(told_restore(kept), style="bold")

            async def agree(made: Plan) -> None:
                if not yes:
                    await ask(made)
                await _confirmed(environment, confirm)

            if dry_run:
                made = await make(project, adapters)
                show(made, await backups_before(project, adapters, made) if made.changes else ())
                report.planned(made)
                return 1 if made.blocked else 0

            def ended(made: Plan, result: Result) -> None:
                report.ended(result, made)
                if made.changes:
                    result_view.show_result(output, made, result)

            with progress.view(output, adapters.clock) as tell:
                made, result, restored = await roll_back_and_restore(
                    project, adapters, environment, lambda: make(project, adapters), terms,
                    show=show, agree=agree, ended=ended, emit=report.hears(tell), stop=stop,
                    tell=_steps_of(output),
                )  # fmt: skip
            _show_restored(output, restored)
        if common.json:
            output.document(
                result_document(made, result) | {"restored": [restored_document(one) for one in restored]}
            )
        return result.exit_code

    with reported(terms.purpose, environment) as report:
        code = await until_signalled(work, output)
        report.finished(code)
        return code


async def _restore(
    project: Project,
    adapters: Adapters,
    environment: str,
    chosen: Sequence[Kept],
    wait_s: float,
    output: Output,
    stop: StopRequest,
) -> Sequence[Restored]:
    from liftlock.cli import progress
    from liftlock.commands.restore import restore_databases

    with progress.view(output, adapters.clock) as emit:
        restored = await restore_databases(
            project, adapters, environment, chosen, wait_s, emit=emit, stop=stop, tell=_steps_of(output)
        )
    _show_restored(output, restored)
    return restored


def _steps_of(output: Output) -> Callable[[str, str], None]:
    """Tells what is done to each app's database."""
    said: dict[str, str] = {}

    def tell(app: str, text: str) -> None:
        steady = " runs, " not in text  # how far a transfer is would fill the screen
        if steady and said.get(app) != text:
            output.line(f"  {app:<12} {text}")
        elif not steady:
            output.aside(f"  {app:<12} {text}")
        said[app] = text

    return tell


def _show_restored(output: Output, restored: Sequence[Restored]) -> None:
    from liftlock import wording

    for one in restored:
        size = wording.size(one.fresh.size_bytes)
        output.line(
            f"{one.kept.used.whose} is as it was in {one.kept.backup.id}. What stood before is "
            f"{one.fresh.id} ({size}).",
            style="green",
        )


async def _confirmed(environment: str, given: str) -> None:
    """Return once the environment's name was typed, or given as `--confirm`. Raises otherwise."""
    if given and given != environment:
        raise UsageError(f"--confirm says {given!r}, and the environment is {environment}.")
    if given:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked: standard input is not a terminal.",
            hint=f"Restoring loses what was written since: to go on, say --confirm {environment}",
        )
    answer = await _answer(f"\nWhat was written since is lost. Type {environment} to go on: ")
    if answer != environment:
        raise LiftlockError(f"Declined; {environment} was not changed.")


async def _asked(question: str, environment: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked: standard input is not a terminal.", hint="Say --yes to go on without."
        )
    if (await _answer(question)).lower() not in {"y", "yes"}:
        raise LiftlockError(f"Declined; nothing of {environment} was deleted.")


async def _answer(question: str) -> str:
    sys.stdout.flush()
    sys.stderr.write(question)
    sys.stderr.flush()
    await anyio.wait_readable(sys.stdin)  # not in a thread: the process could not end before its line came
    return sys.stdin.readline().strip()


def _seconds(text: str) -> float:
    from liftlock.config import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"--wait {text}: {error}", hint="For example: --wait 10m") from error


def _teller(output: Output) -> Callable[[str, str], None]:
    return lambda app, text: output.aside(f"  {app:<12} {text}")
