"""Gates: conditions that must hold before a plan may run. Pure functions of a plan, of facts and of the time.

A fact that nobody could find out never lets a gate pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from liftlock.model import Gates, Kind, Project
from liftlock.planning.gates.facts import Facts, SourceState
from liftlock.planning.gates.people import approvals
from liftlock.planning.gates.state import backup_age, checks, command, drift, source_healthy
from liftlock.planning.gates.times import freeze, soak, window
from liftlock.planning.observation import Drift, Observation, drift_in_words, drift_of
from liftlock.planning.plan import AppPlan, Plan, Verdict

__all__ = ["GATES", "Facts", "SourceState", "judge", "judged"]

GATES = (
    "approvals",
    "soak",
    "window",
    "freeze",
    "checks",
    "source_healthy",
    "backup_age",
    "command",
    "drift",
)
"""Every gate, by the name that the configuration and `--override` know it by."""


def judged(
    plan: Plan,
    project: Project,
    observation: Observation,
    facts: Facts,
    *,
    accept_drift: bool,
    overrides: Mapping[str, str],
) -> Plan:
    """`plan` with what every gate says of it. One that changes nothing has to pass none.

    Gates guard promotions: a rollback must not have to wait, and a deploy goes where nothing is
    promoted to. Drift counts for both promotions and rollbacks, where a switch would overwrite it.
    """
    if not plan.changes:
        return replace(plan, verdicts=())
    drifted = {
        app.app: drift_in_words(seen.recorded_artifacts, seen.running)
        for app in plan.releases
        if plan.kind in {Kind.PROMOTION, Kind.ROLLBACK}
        and (seen := observation.apps[app.app]).recorded.current is not None
        and drift_of(seen.recorded_artifacts, seen.running) is Drift.DRIFT
    }
    verdicts = judge(
        project.environments[plan.environment].gates if plan.kind is Kind.PROMOTION else Gates(),
        apps=plan.apps.values(),
        drifted=drifted,
        now=observation.at,
        facts=facts,
        accept_drift=accept_drift,
        overrides=overrides,
    )
    return replace(plan, verdicts=verdicts)


def judge(
    gates: Gates,
    *,
    apps: Iterable[AppPlan],
    drifted: Mapping[str, str],
    now: datetime,
    facts: Facts | None = None,
    accept_drift: bool = False,
    overrides: Mapping[str, str] | None = None,
) -> tuple[Verdict, ...]:
    """What every gate says of a plan: the configured ones, and drift, which always counts.

    `drifted` says per app, in words, how running differs from recorded.
    """
    changing = [a for a in apps if a.changes]
    known = facts or Facts()
    questions: Mapping[str, tuple[object, Callable[[], Verdict]]] = {
        "approvals": (gates.approvals, lambda: approvals(gates.approvals, known, now)),
        "soak": (gates.soak_s, lambda: soak(gates.soak_s, changing, known.ran, now)),
        "window": (gates.window, lambda: window(gates.window, now)),
        "freeze": (gates.freeze, lambda: freeze(gates.freeze, now)),
        "checks": (gates.checks, lambda: checks(gates.checks, changing, known.checks)),
        "source_healthy": (gates.source_healthy, lambda: source_healthy(changing, known.source)),
        "backup_age": (gates.backup_age_s, lambda: backup_age(gates.backup_age_s, known.backups, now)),
        "command": (gates.command, lambda: command(gates.command, known.command)),
        "drift": (drifted, lambda: drift(drifted, accept_drift=accept_drift)),
    }
    verdicts = (question() for configured, question in questions.values() if configured)
    return tuple(_overridden(verdict, overrides or {}) for verdict in verdicts)


def _overridden(verdict: Verdict, overrides: Mapping[str, str]) -> Verdict:
    if verdict.passed or verdict.gate not in overrides:
        return verdict
    return replace(verdict, overridden=overrides[verdict.gate])
