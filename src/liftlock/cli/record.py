"""`liftlock record`, after a change by hand, and `liftlock approve`."""

from __future__ import annotations

from typing import Annotated

from liftlock.cli.looks import looking
from liftlock.cli.options import DEFAULTS, AppName, EnvironmentName, Flag, Wait, seconds
from liftlock.cli.running import plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.record import plan_record
from liftlock.commands.run import Terms
from liftlock.model import Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters


async def record(
    environment: EnvironmentName,
    /,
    *apps: AppName,
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

    async def make(project: Project, adapters: Adapters) -> Plan:
        return await plan_record(project, adapters, environment, apps, commit)

    terms = Terms("record of what runs", seconds(wait))
    return await plan_and_run(common, environment, make, terms, yes=yes, dry_run=dry_run, events=events)


async def approve(
    plan_digest: str,
    /,
    *,
    environment: EnvironmentName = "",
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

    lasts_s = seconds(expires_in, "--expires-in")
    output = common.output()
    async with looking(common, output) as looks:
        where, given = await looks.approve(plan_digest, environment, lasts_s)
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
        output.line(
            f"{given.account} approves plan {plan_digest[:12]} for {where}, until {until}."
            f" It counts when somebody other than {given.account} promotes.",
            hang=2,
        )
    return 0
