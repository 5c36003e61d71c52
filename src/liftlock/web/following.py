"""A promotion that runs elsewhere, as far as it can be seen from here. Pure.

Its events stay where it runs. What is seen of it: its intent, the backups in its lease's journal, what its apps
run, and its records. A step that was not seen to be done, though all that it needs was, goes on for as long as
somebody holds the environment: that is the engine's rule. How long steps took is known to within a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from liftlock.commands.history import Account
from liftlock.model import Intent, Known, Project, Running, same_artifacts
from liftlock.planning.plan import StepKind
from liftlock.web.timeline import PlannedStep, Timeline, sighted


@dataclass(slots=True)
class Sightings:
    """When something of a promotion was first seen to be so, in seconds since it began."""

    at_s: dict[str, float] = field(default_factory=dict)

    def of(self, what: str, now_s: float) -> float:
        return self.at_s.setdefault(what, now_s)


def standing(intent: Intent, app: str, running: Running | None) -> str:
    """`new`, `old`, or "" where that cannot be told: `engine.outcome`'s words."""
    if not isinstance(running, Known) or running.pending or running.compared_with is not None:
        return ""
    if same_artifacts(running.artifacts, intent.releases[app].artifacts):
        return "new"
    before = intent.before.get(app)
    return "old" if before is not None and same_artifacts(running.artifacts, before) else ""


def followed(
    project: Project,
    account: Account,
    running: Mapping[str, Running],
    now: datetime,
    seen: Sightings,
    *,
    is_held: bool,
) -> Timeline:
    """How an open promotion stands. Nothing is drawn as going on unless somebody holds its environment."""
    intent = account.intent
    now_s = _since(intent, now)
    standings = {app: standing(intent, app, running.get(app)) for app in intent.releases}
    switched = [app for app in _released(intent) if standings[app] == "new"]
    ends = {"intent": 0.0}
    begins: dict[str, float] = {}
    for backup in account.backups:
        step = f"backup:{backup.database}"
        begins[step], ends[step] = _since(intent, backup.started_at), _since(intent, backup.finished_at)
    if switched:
        # Nothing is switched before everything is in place: when that was, the backups tell, or nobody.
        sights = {f"release:{app}": seen.of(f"release:{app}", now_s) for app in switched}
        first = min(sights.values())
        ready = min(max(ends.values()) or first / 2, first)
        ends |= {f"stage:{app}": ready for app in _released(intent)} | sights
    for app, record in account.records.items():
        ends[f"record:{app}"] = _since(intent, record.created_at)
        for step in ("release", "verify"):
            ends.setdefault(f"{step}:{app}", ends[f"record:{app}"])
    told = sighted(_steps(project, account), begins, ends, now_s if is_held else None)
    return replace(told, promotion=intent.id, apps=tuple(intent.releases), standings=standings)


def _since(intent: Intent, moment: datetime) -> float:
    return max((moment - intent.created_at).total_seconds(), 0.0)


def _released(intent: Intent) -> list[str]:
    """The apps that get other artifacts; what runs already is only recorded."""
    return [
        app
        for app, release in intent.releases.items()
        if app not in intent.before or not same_artifacts(intent.before[app], release.artifacts)
    ]


def _steps(project: Project, account: Account) -> tuple[PlannedStep, ...]:
    """The steps that everybody waits for, in the plan's order: each after those that it needs.

    They are expected to take what they took in the records that are replaced.
    """
    intent = account.intent
    apps = _in_order(project, intent.releases)
    released = [app for app in apps if app in _released(intent)]

    def step(kind: StepKind, app: str, *needs: str, name: str = "") -> PlannedStep:
        before = account.replaced.get(app)
        time = before.steps.get(kind.value) if before is not None else None
        return PlannedStep(f"{kind}:{name or app}", kind.value, app, needs, time.took_s if time else None)

    backups = [step(StepKind.BACKUP, b.app, "intent", name=b.database) for b in account.backups] or [
        step(StepKind.BACKUP, app, "intent")
        for app in released
        if app in project.apps and project.apps[app].backup
    ]
    stages = [step(StepKind.STAGE, app) for app in released]
    ready = tuple(one.id for one in (*backups, *stages))
    steps = [PlannedStep("intent", StepKind.INTENT.value, "", (), None), *backups, *stages]
    steps.append(PlannedStep("ready", StepKind.READY.value, "", ("intent", *ready), None))
    for app in released:
        after = [f"verify:{other}" for other in project.apps[app].after] if app in project.apps else []
        needs = [need for need in after if need.partition(":")[2] in released]
        steps.append(step(StepKind.RELEASE, app, "ready", *needs))
        steps.append(step(StepKind.VERIFY, app, f"release:{app}"))
    verified = tuple(f"verify:{app}" for app in released)
    steps.append(PlannedStep("verified", StepKind.VERIFIED.value, "", ("ready", *verified), None))
    steps += [step(StepKind.RECORD, app, "verified") for app in apps]
    return tuple(steps)


def _in_order(project: Project, apps: Iterable[str]) -> list[str]:
    """The apps, each after those that go first."""
    left, found = list(apps), []
    while left:
        is_next = [
            a for a in left if not (a in project.apps and set(project.apps[a].after) & set(left))
        ] or left
        found += is_next
        left = [app for app in left if app not in is_next]
    return found
