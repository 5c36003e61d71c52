"""`liftlock deploy`."""

from __future__ import annotations

from typing import Annotated

from liftlock.cli.checkout import at_hand
from liftlock.cli.options import DEFAULTS, AppName, EnvironmentName, Flag, GateNames, Wait, seconds
from liftlock.cli.publishing import shown
from liftlock.cli.running import overridden, plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.deploy import Superseded, first_environment, plan_deploy
from liftlock.commands.run import Terms
from liftlock.errors import ungrouped
from liftlock.model import Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters


async def deploy(
    environment: EnvironmentName = "",
    /,
    *apps: AppName,
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    override: GateNames = None,
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
        with shown(output) as tell:
            return await plan_deploy(project, adapters, checkout, place, apps, tell)

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
