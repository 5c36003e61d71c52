"""`liftlock deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from liftlock.cli.options import DEFAULTS, Flag, Wait, seconds
from liftlock.cli.running import overridden, plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.deploy import Checkout, first_environment, plan_deploy
from liftlock.commands.run import Terms
from liftlock.errors import UsageError
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
    terms = Terms("deploy", seconds(wait), overrides=overridden(override or (), reason))
    return await plan_and_run(common, place, make, terms, yes=yes, dry_run=dry_run, events=events)
