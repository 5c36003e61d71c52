"""`liftlock plan` and `liftlock promote`, and the file that a plan is saved in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from liftlock.cli.looks import looking
from liftlock.cli.options import DEFAULTS, AppName, Flag, GateNames, SourceName, TargetName, Wait, seconds
from liftlock.cli.running import overridden, plan_and_run
from liftlock.cli.session import Common
from liftlock.commands.promote import Conditions, plan_promotion
from liftlock.commands.run import Terms
from liftlock.commands.saved import replan
from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.planning.document import plan_document, saved_plan
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters


async def plan(
    source: SourceName,
    target: TargetName,
    /,
    *apps: AppName,
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

    output = common.output()
    async with looking(common, output) as looks:
        project, notes = looks.project, looks.endpoint_notes
        made = await looks.plan(source, target, apps, accept_drift=accept_drift)
    if out is not None:
        _save(plan_document(made), out)
    if common.json:
        output.document(plan_document(made))
    else:
        from liftlock.cli import plan_view  # rich takes its time: `promote` imports it while it waits

        plan_view.show_plan(output, project, made, notes)
        if out is not None:
            how = f" Run exactly this with: liftlock promote --plan {out}"
            blocked = " It cannot be run: an app in it is blocked."
            output.line(f"Saved in {out}.{blocked if made.blocked else how}")
    return 1 if made.blocked else 0


async def promote(
    source: SourceName = "",
    target: TargetName = "",
    /,
    *apps: AppName,
    plan: Path | None = None,
    yes: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    on_failure: Literal["undo", "stop"] = "undo",
    accept_drift: Annotated[bool, Flag] = False,
    override: GateNames = None,
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

    if bool(plan) == bool(source or target) or bool(source) != bool(target):
        raise UsageError(
            "promote takes SOURCE and TARGET, or --plan FILE.",
            hint="For example: liftlock promote dev staging",
        )
    conditions = Conditions(accept_drift, overridden(override or (), reason))
    document = saved_plan(_load(plan), str(plan)) if plan else None
    if url := common.server_url():
        from liftlock.cli.server_runs import Asked, run_at_server

        asked = Asked(
            "promotions",
            document.environment if document is not None else target,
            document.source if document is not None else source,
            document.selected if document is not None else apps,
            accept_drift=accept_drift,
            overrides=conditions.overrides,
            plan_digest=document.digest if document is not None else "",
            wait=wait,
            more={"on_failure": on_failure},
        )
        return await run_at_server(common, url, asked, yes=yes, dry_run=dry_run, events=events)

    async def make(project: Project, adapters: Adapters) -> Plan:
        if document is not None:
            return await replan(project, adapters, document, conditions)
        return await plan_promotion(project, adapters, source, target, apps, conditions)

    overrides = dict(conditions.overrides) | ({"drift": "--accept-drift"} if accept_drift else {})
    return await plan_and_run(
        common,
        document.environment if document is not None else target,
        make,
        Terms(
            f"promotion from {document.source if document is not None else source}",
            seconds(wait),
            on_failure == "undo",
            overrides,
        ),
        yes=yes,
        dry_run=dry_run,
        events=events,
    )


def _save(document: dict[str, object], path: Path) -> None:

    try:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The plan could not be saved in {path}: {error.strerror}.") from error


def _load(path: Path) -> object:

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The plan in {path} could not be read: {error.strerror}.",
            hint="Make one with: liftlock plan SOURCE TARGET --out FILE",
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a saved plan: it is not JSON ({error}).",
            hint="Make one with: liftlock plan SOURCE TARGET --out FILE",
        ) from error
