"""`liftlock rollback`."""

from __future__ import annotations

from typing import Annotated

from liftlock.cli.backups import rollback_with_databases
from liftlock.cli.options import (
    DEFAULTS,
    AppName,
    EnvironmentName,
    Flag,
    GateNames,
    PromotionId,
    Wait,
    seconds,
)
from liftlock.cli.running import ask, overridden, plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.promote import Conditions
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms
from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters


async def rollback(
    environment: EnvironmentName,
    /,
    *apps: AppName,
    app: list[AppName] | None = None,
    to: PromotionId = "",
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    accept_drift: Annotated[bool, Flag] = False,
    restore_database: Annotated[bool, Flag] = False,
    confirm: str = "",
    override: GateNames = None,
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
    app:
        The same, as an option; may be given several times.
    to:
        An id that `history` shows: go back to the deployments as they stood after it. Or a time
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

    chosen = (*apps, *(app or ()))
    if url := common.server_url():
        from liftlock.cli.server_runs import Asked, run_at_server

        if restore_database:
            raise UsageError(
                "A server restores no databases.", hint="Do it where the credentials are: leave --server out."
            )
        asked = Asked(
            "rollbacks",
            environment,
            "",
            chosen,
            accept_drift=accept_drift,
            overrides=overridden(override or (), reason),
            wait=wait,
            more={"to": to},
        )
        return await run_at_server(common, url, asked, yes=yes, dry_run=dry_run, events=events)

    async def make(project: Project, adapters: Adapters) -> Plan:
        return await plan_rollback(
            project, adapters, environment, to=to, apps=chosen, conditions=Conditions(accept_drift)
        )

    overrides = overridden(override or (), reason) | ({"drift": "--accept-drift"} if accept_drift else {})
    terms = Terms("rollback", seconds(wait), overrides=overrides)
    if restore_database:
        return await rollback_with_databases(
            common, environment, make, terms,
            yes=yes, confirm=confirm, dry_run=dry_run, events=events, ask=ask,
        )  # fmt: skip
    return await plan_and_run(common, environment, make, terms, yes=yes, dry_run=dry_run, events=events)
