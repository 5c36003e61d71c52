"""From observations to a plan. One pure function serves promotions, rollbacks and deploys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from liftlock.model import (
    App,
    Database,
    Deployment,
    Kind,
    Known,
    Missing,
    Project,
    RecordedId,
    Release,
    Undo,
    Unknown,
    same_artifact,
    same_artifacts,
)
from liftlock.planning import gates
from liftlock.planning.estimates import with_estimates
from liftlock.planning.observation import AppObservation, Observation, Wanted, put_to_sleep
from liftlock.planning.order import descendants, predecessors
from liftlock.planning.plan import Action, AppPlan, Plan, Step, StepKind, plan_digest

LEDGER_LANE = "ledger"
NOTIFY_LANE = "notify"


def make_plan(
    project: Project,
    observation: Observation,
    *,
    kind: Kind,
    environment: str,
    source: str = "",
    selected: Collection[str] = (),
    accept_drift: bool = False,
    overrides: Mapping[str, str] | None = None,
    reverts: str = "",
    backed_up: Collection[str] = (),
) -> Plan:
    """The plan that takes `environment` to the wanted releases of `observation`.

    With `selected`, only those apps change; the others are shown as left behind where they differ.
    The databases in `backed_up` need no backup any more: an interrupted run has taken it.
    """
    chosen = set(selected)
    apps = {
        name: _plan_app(project.apps[name], seen, kind, selected=not chosen or name in chosen)
        for name, seen in observation.apps.items()
    }
    databases = tuple(d for d in _databases(project, observation, apps) if d.id not in backed_up)
    steps = with_estimates(_steps(project, apps, databases, kind), observation.earlier, kind)
    plan = Plan(
        kind=kind,
        project=project.name,
        environment=environment,
        source=source,
        apps=apps,
        steps=steps,
        databases=databases,
        verdicts=(),
        notes=_notes(apps),
        config_digest=project.config_digest,
        digest=plan_digest(
            kind=kind,
            environment=environment,
            source=source,
            config_digest=project.config_digest,
            apps=apps,
            steps=steps,
            databases=databases,
            reverts=reverts,
        ),
        observed_at=observation.at,
        selected=tuple(sorted(chosen)),
        reverts=reverts,
    )
    return gates.judged(
        plan, project, observation, gates.Facts(), accept_drift=accept_drift, overrides=overrides or {}
    )


def _plan_app(app: App, seen: AppObservation, kind: Kind, *, selected: bool) -> AppPlan:
    current = seen.recorded.current
    notes = tuple(f"a newer record failed: {_deployment(d)}" for d in seen.recorded.failed_since[:1])
    wanted = _usable(seen.wanted)
    if isinstance(wanted, Missing):
        action = Action.BLOCKED if selected else Action.LEFT_BEHIND
        return AppPlan(
            app.name, action, wanted.reason, running=seen.running, replaces=current, hint=wanted.hint
        )
    notes += wanted.notes
    located = None if isinstance(seen.located, Missing) else seen.located
    release = replace(located.release if located else wanted.release, about=wanted.release.about)
    before, asleep = _before(app, seen, release), _asleep(seen, release)
    action, why = _decide(seen, release, kind)
    if isinstance(seen.located, Missing) and action is not Action.UNCHANGED:
        action, why = Action.BLOCKED, seen.located.reason
    if action is Action.RELEASE and app.backup and not seen.databases:
        action, why = Action.BLOCKED, "its database is to be backed up first, and none was found"
    if action is Action.RELEASE:
        notes += seen.out_of_reach
    if not selected and action is not Action.UNCHANGED:
        action, why = Action.LEFT_BEHIND, f"not selected; {why}"
    if located and located.note:
        notes += (located.note,)
    return AppPlan(
        app=app.name,
        action=action,
        why=why,
        release=release,
        located=located,
        before=before,
        running=seen.running,
        replaces=current,
        source_deployment=wanted.deployment,
        reversible=app.undo is Undo.SAFE and before is not None,
        has_release_phase="release" in release.artifacts,
        removes=_removed(seen, release),
        asleep=asleep,
        notes=notes,
        hint=_hint(app, seen, action),
    )


def _usable(wanted: Wanted | Missing) -> Wanted | Missing:
    """What is wanted, unless it is nothing at all: releasing that would take away all that runs."""
    if isinstance(wanted, Missing) or wanted.release.artifacts:
        return wanted
    return Missing(
        f"its record at {wanted.release.short_commit} names no artifact",
        "Deploy it again, so that its record names what it runs, or choose the other apps by name.",
    )


def _hint(app: App, seen: AppObservation, action: Action) -> str:
    if action is not Action.BLOCKED:
        return ""
    if isinstance(seen.located, Missing):
        return seen.located.hint
    return f"Attach the database as DATABASE_URL, or remove `backup` from [apps.{app.name}]."


def _decide(seen: AppObservation, release: Release, kind: Kind) -> tuple[Action, str]:
    current = seen.recorded.current
    if isinstance(seen.running, Unknown):
        return Action.RELEASE, f"what runs could not be told ({seen.running.reason})"
    if not same_artifacts(seen.running.artifacts, release.artifacts):
        return Action.RELEASE, _difference(seen.running, release, current)
    if current is None:
        return Action.RECORD, "it runs already and has no record"
    if current.release.commit != release.commit:
        return Action.RECORD, "same artifacts at another commit; only the record moves"
    if not same_artifacts(seen.recorded_artifacts, release.artifacts):
        return Action.RECORD, "it runs already; the record says otherwise"
    asleep = put_to_sleep(current.awake, seen.running)
    if asleep and kind is Kind.RECORD:
        return Action.RECORD, f"scaled to zero since it was recorded: {', '.join(asleep)}"
    return Action.UNCHANGED, "same artifacts, and they run"


def _difference(running: Known, release: Release, current: Deployment | None) -> str:
    if not running.artifacts:
        return running.note or "first release"
    if current is not None and current.release.commit == release.commit:
        return "rebuilt at the same commit"
    parts = sorted(
        part
        for part, artifact in release.artifacts.items()
        if part not in running.artifacts or not same_artifact(artifact, running.artifacts[part])
    )
    return f"differs: {', '.join(parts)}" if parts else "it has process types that the release no longer has"


def _before(app: App, seen: AppObservation, release: Release) -> Known | None:
    """What an undo goes back to: what ran, or, where that cannot be told, what is recorded.

    An id that another tool recorded, and no registry could resolve, is nothing to go back to; nor is a record
    of the very release that is wanted: whatever ran before, an undo could not tell it from that.
    """
    if isinstance(seen.running, Known):
        return seen.running
    if seen.recorded.current is None or not seen.recorded_artifacts:
        return None
    if any(isinstance(artifact, RecordedId) for artifact in seen.recorded_artifacts.values()):
        return None
    if same_artifacts(seen.recorded_artifacts, release.artifacts):
        return None
    return Known(seen.recorded_artifacts, note="recorded; what ran could not be told")


def _asleep(seen: AppObservation, release: Release) -> tuple[str, ...]:
    if isinstance(seen.running, Unknown):
        return ()
    scale = seen.running.scale
    return tuple(p for p in release.artifacts if p != "release" and scale.get(p) == 0)


def _removed(seen: AppObservation, release: Release) -> tuple[str, ...]:
    if isinstance(seen.running, Unknown):
        return ()
    return tuple(p for p in seen.running.artifacts if p not in release.artifacts)


def _deployment(deployment: Deployment) -> str:
    return f"{deployment.release.short_commit} in {deployment.environment}, record {deployment.id}"


def _databases(
    project: Project, observation: Observation, apps: Mapping[str, AppPlan]
) -> tuple[Database, ...]:
    """The databases to back up: of every app that is switched and says `backup`, each one once."""
    found: dict[str, Database] = {}
    for name, seen in observation.apps.items():
        if apps[name].action is Action.RELEASE and project.apps[name].backup:
            for database in seen.databases:
                found.setdefault(database.id, database)
    return tuple(found.values())


def _notes(apps: Mapping[str, AppPlan]) -> tuple[str, ...]:
    notes = []
    behind = [a.app for a in apps.values() if a.action is Action.LEFT_BEHIND]
    if behind:
        notes.append(f"left behind, since not selected: {', '.join(behind)}")
    return tuple(notes)


def _steps(
    project: Project, apps: Mapping[str, AppPlan], databases: tuple[Database, ...], kind: Kind
) -> tuple[Step, ...]:
    changing = [a for a in apps.values() if a.changes]
    if not changing:
        return ()
    releasing = [a for a in changing if a.action is Action.RELEASE]
    before = predecessors({n: project.apps[n].after for n in project.apps}, [a.app for a in releasing])
    lane = {a.app: project.apps[a.app].platform for a in changing}

    steps = [Step("intent", StepKind.INTENT, lane=LEDGER_LANE)]
    steps += [
        Step(f"backup:{d.id}", StepKind.BACKUP, app=d.app, lane=f"backup:{d.service}") for d in databases
    ]
    steps += [Step(f"stage:{a.app}", StepKind.STAGE, app=a.app, lane=lane[a.app]) for a in releasing]
    if databases:
        backups = tuple(s.id for s in steps if s.kind is StepKind.BACKUP)
        steps.append(Step("journal", StepKind.JOURNAL, ("intent", *backups), lane=LEDGER_LANE))
    steps.append(Step("ready", StepKind.READY, needs=tuple(s.id for s in steps)))

    last_call = _last_call([a.app for a in releasing if not a.reversible], before)
    if last_call:
        steps.append(
            Step("point of no return", StepKind.NO_RETURN, needs=tuple(f"verify:{app}" for app in last_call))
        )
    for a in releasing:
        needs = ["ready", *(f"verify:{other}" for other in before[a.app])]
        if not a.reversible and last_call:
            needs.append("point of no return")
        steps.append(Step(f"release:{a.app}", StepKind.RELEASE, tuple(needs), a.app, lane[a.app]))
        steps.append(Step(f"verify:{a.app}", StepKind.VERIFY, (f"release:{a.app}",), a.app, lane[a.app]))
    steps += [
        Step(f"verify:{a.app}", StepKind.VERIFY, ("ready",), a.app, lane[a.app])
        for a in changing
        if a.action is Action.RECORD
    ]
    steps.append(Step("verified", StepKind.VERIFIED, tuple(f"verify:{a.app}" for a in changing)))

    recorded = []
    for a in changing:
        steps.append(Step(f"record:{a.app}", StepKind.RECORD, ("verified",), a.app, LEDGER_LANE))
        steps.append(Step(f"mark:{a.app}", StepKind.MARK, (f"record:{a.app}",), a.app, LEDGER_LANE))
        recorded.append(f"record:{a.app}")
        # A record that was never marked counts for want of a status: `inactive` would be its first.
        if a.replaces is not None and a.replaces.promotion and a.replaces.reached_success:
            retire = Step(f"retire:{a.app}", StepKind.RETIRE, (f"record:{a.app}",), a.app, LEDGER_LANE)
            steps.append(retire)
    steps.append(Step("close", StepKind.CLOSE, tuple(recorded), lane=LEDGER_LANE))
    steps.append(Step("free", StepKind.FREE, tuple(recorded), lane=LEDGER_LANE))
    steps.append(Step("notify", StepKind.NOTIFY, tuple(recorded), lane=NOTIFY_LANE))
    return tuple(steps)


def _last_call(never: Collection[str], before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The apps that must be up before the first one that cannot be taken back is switched.

    All those that can be verified without it: what can still be undone should fail first. None
    of them goes after an app of `never`, so that no cycle can arise.
    """
    if not never:
        return ()
    bound = set(never) | descendants(before, never)
    return tuple(app for app in before if app not in bound)
