"""`liftlock deploy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from liftlock.cli.options import DEFAULTS, Flag, Wait, seconds
from liftlock.cli.output import Output
from liftlock.cli.running import overridden, plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.deploy import Checkout, Superseded, first_environment, plan_deploy
from liftlock.commands.run import Terms
from liftlock.errors import UsageError, ungrouped
from liftlock.model import Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.source_code import head
from liftlock.wiring import is_on_loopback


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

    async def make(project: Project, adapters: Adapters) -> Plan:
        checkout = await at_hand(project)
        return await plan_deploy(project, adapters, checkout, place, apps, teller(output))

    output = common.output(events=events)
    place = environment or first_environment(common.project())
    terms = Terms("deploy", seconds(wait), overrides=overridden(override or (), reason))
    try:
        with ungrouped():
            return await plan_and_run(common, place, make, terms, yes=yes, dry_run=dry_run, events=events)
    except Superseded as superseded:
        output.line(superseded.message)
        if common.json:
            output.document({"superseded": True, "commit": superseded.commit, "by": superseded.by})
        return superseded.exit_code


async def at_hand(project: Project, *, any_state: bool = False) -> Checkout:
    """The checkout of this folder. Raises `UsageError` when its files are not its commit's.

    With `any_state`, or where everything is on this machine, they may differ.
    """
    here = await head(Path.cwd())
    if here.dirty and not any_state and not is_on_loopback(project):
        raise UsageError(
            "The work tree has changes that are not committed, so no commit names what would be deployed.",
            hint="Commit or stash them, then run this again.",
        )
    return Checkout(Path.cwd(), here.repository, here.commit.sha, here.dirty)


def teller(output: Output) -> Callable[[str, str], None]:
    """Tells, with -v, what happens to an app."""
    return lambda app, text: output.aside(f"  {app:<12} {text}")
