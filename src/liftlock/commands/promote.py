"""Promote: plan what the source environment's records say into a target environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from liftlock.commands.facts import gated
from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.engine.backups import SIZE_OVERRIDE
from liftlock.errors import LiftlockError, Refused, UsageError
from liftlock.model import EMPTY, Kind, Project
from liftlock.naming import nearest
from liftlock.planning.gates import GATES
from liftlock.planning.make import make_plan
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters

MOST_HINTS = 3


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the requester says about a plan's gates."""

    accept_drift: bool = False
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)


async def plan_promotion(
    project: Project,
    adapters: Adapters,
    source: str,
    target: str,
    apps: Collection[str] = (),
    conditions: Conditions | None = None,
) -> Plan:
    """What a promotion from `source` to `target` would do. Changes nothing, and needs no lease.

    Raises `UsageError` for names that do not exist or a way that is not allowed.
    """
    check_names(project, (source, target), apps)
    if source == target:
        raise UsageError(
            f"{target} cannot be promoted to itself.", hint="For example: liftlock promote dev staging"
        )
    allowed = project.environments[target].promotes_from
    if source not in allowed:
        raise UsageError(
            f"{target} is not promoted from {source}"
            + (f", only from {' or '.join(allowed)}." if allowed else ": nothing is promoted to it."),
            hint=f"To allow it, add {source!r} to `from` in [environments.{target}].",
        )
    conditions = conditions or Conditions()
    observation = await Observer(project, adapters, target).for_promotion(source)
    refuse_open_intents(target, observation.open_intents)
    plan = make_plan(
        project, observation, kind=Kind.PROMOTION, environment=target, source=source, selected=apps
    )
    return await gated(
        project,
        adapters,
        plan,
        observation,
        accept_drift=conditions.accept_drift,
        overrides=conditions.overrides,
    )


def refuse_unless_runnable(plan: Plan) -> None:
    """Raises when a plan may not run: blocked apps (exit 1), or gates that refuse (exit 3)."""
    if plan.blocked:
        reasons: dict[str, list[str]] = {}
        for app in plan.blocked:
            reasons.setdefault(app.why, []).append(app.app)
        said = "\n".join(f"  {', '.join(apps)}: {why.rstrip('.')}." for why, apps in reasons.items())
        hints = list(dict.fromkeys(a.hint for a in plan.blocked if a.hint))
        more = f" And {len(hints) - MOST_HINTS} more like these." if len(hints) > MOST_HINTS else ""
        raise LiftlockError(
            f"{plan.environment} was not changed: not every release can be lifted.\n{said}",
            hint=" ".join(hints[:MOST_HINTS]) + more,
        )
    if plan.refusals:
        said = "\n".join(f"  {v.gate}: {v.reason}." for v in plan.refusals)
        times = [v.passes_at for v in plan.refusals if v.passes_at]
        later = (
            f" It can pass from {max(times):%a %Y-%m-%d %H:%M %Z}."
            if len(times) == len(plan.refusals)
            else ""
        )
        raise Refused(
            f"{plan.environment} was not changed: a gate refused.\n{said}",
            hint=f"Wait or mend it.{later}{_how_to_approve(plan)}\nTo go on all the same, recorded with your"
            f" reason: {_ways_around(plan)}",
        )


def approve_command(plan: Plan) -> str:
    """What somebody else has to type to approve the plan."""
    return f"liftlock approve {plan.digest} --environment {plan.environment}"


def _how_to_approve(plan: Plan) -> str:
    lacks_approvals = any(v.gate == "approvals" for v in plan.refusals)
    return f"\nSomebody else can approve it: {approve_command(plan)}" if lacks_approvals else ""


def _ways_around(plan: Plan) -> str:
    gates = [v.gate for v in plan.refusals]
    ways = ["--accept-drift"] if "drift" in gates else []
    ways += [f"--override {gate}" for gate in gates if gate != "drift"]
    return " ".join([*ways, "--reason TEXT"] if ways != ["--accept-drift"] else ways)


def check_gates(names: Collection[str]) -> None:
    """Raises `UsageError` for the first name that is no gate's."""
    for name in names:
        known = (*GATES, SIZE_OVERRIDE)
        if name not in known:
            near = nearest(name, known)
            raise UsageError(
                f"There is no gate {name!r}.",
                hint=(f"Did you mean {near}? " if near else "") + f"There are: {', '.join(known)}.",
            )
