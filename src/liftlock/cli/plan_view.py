"""A plan, for people: what changes and why, in which order, and what has to hold before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from liftlock import wording
from liftlock.cli.output import Output
from liftlock.commands.promote import approve_command
from liftlock.model import Kind, Known, Project
from liftlock.planning.estimates import expected_time
from liftlock.planning.order import predecessors
from liftlock.planning.plan import TIMED, Action, AppPlan, Plan, StepKind

STYLES = {
    Action.RELEASE: "bold green",
    Action.RECORD: "cyan",
    Action.UNCHANGED: "dim",
    Action.LEFT_BEHIND: "yellow",
    Action.BLOCKED: "bold red",
}


def heading(plan: Plan) -> str:
    """One line that says what the plan is for."""
    match plan.kind:
        case Kind.PROMOTION:
            return f"Promotion of {plan.project} from {plan.source} to {plan.environment}"
        case Kind.ROLLBACK:
            return f"Rollback of {plan.project} in {plan.environment}"
        case Kind.DEPLOY:
            return f"Deploy of {plan.project} to {plan.environment}"
        case Kind.RECORD:
            return f"Record of what runs in {plan.environment} of {plan.project}"


def show_plan(output: Output, project: Project, plan: Plan, endpoint_notes: Mapping[str, list[str]]) -> None:
    """Print the plan. The first line names every endpoint that is not the vendor's own."""
    for line in _endpoints(endpoint_notes):
        output.line(line, style="yellow", hang=0)
    output.show(Text.assemble((heading(plan), "bold"), f"   plan {plan.digest[:12]}"))
    output.line()
    output.show(Padding(_apps(plan, output), (0, 0, 0, 2), expand=False))
    output.line()
    for title, lines in (
        ("First", _first(plan)),
        ("Then", _order(project, plan)),
        ("Time", _time(plan)),
        ("Undo", _undo(plan)),
        ("Gates", _gates(plan, verbose=output.verbose)),
        ("Notes", _all_notes(plan)),
    ):
        for index, line in enumerate(lines):
            output.line(f"  {title if index == 0 else '':<7}{line}", hang=9)
    if any(v.gate == "approvals" and not (v.passed or v.overridden) for v in plan.verdicts):
        output.line(f"  Somebody else approves it with: {approve_command(plan)}", style="yellow")
    if not plan.changes and not plan.blocked:
        output.line(f"  Nothing to do: {plan.environment} runs all of it already.", style="green")


def _endpoints(notes: Mapping[str, list[str]]) -> list[str]:
    """One line: which vendors are spoken to elsewhere than at their own address."""
    if not notes:
        return []
    said = "; ".join(f"{address} for {', '.join(keys)}" for address, keys in notes.items())
    return [f"Not the vendors' own endpoints, but {said}"]


def _apps(plan: Plan, output: Output) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column()
    for app in plan.apps.values():
        unchanged = app.action is Action.UNCHANGED
        style = "dim" if unchanged else ""
        table.add_row(
            Text(app.app, style=style or "bold"),
            Text(app.action, style=STYLES[app.action]),
            Text(commits(app), style=style),
            Text(_why(app, verbose=output.verbose), style=style),
        )
    return table


def commits(app: AppPlan) -> str:
    """Which commit gives way to which."""
    old = app.replaces.release.short_commit if app.replaces else "nothing"
    new = app.release.short_commit if app.release else "?"
    if app.action is Action.UNCHANGED or old == new:
        return new
    return f"{old} → {new}"


def _why(app: AppPlan, *, verbose: bool) -> str:
    said = [app.why]
    if app.action is Action.RELEASE and app.release is not None:
        release = app.located.release if app.located else app.release
        said.append(", ".join(f"{part} {artifact.short}" for part, artifact in release.artifacts.items()))
    if verbose and isinstance(app.running, Known) and app.running.marker:
        said.append(f"runs {app.running.marker}")
    return "; ".join(said)


def _first(plan: Plan) -> list[str]:
    if not plan.releases:
        return []
    lines = []
    if plan.databases:
        apps = sorted({d.app for d in plan.databases})
        lines.append(f"back up {', '.join(_timed(plan, app, StepKind.BACKUP) for app in apps)}")
    places: dict[str, list[str]] = {}
    for app in plan.releases:
        for place in set(app.located.where.values()) if app.located else ():
            places.setdefault(place, []).append(app.app)
    words = {
        "target": "already there",
        "source": "copy from the source's repository",
        "archive": "copy from the archive",
        "clone": "clone the site version",
        "unproved": "unproved: could not be looked at",
    }
    lines += [f"{words.get(place, place)}: {', '.join(apps)}" for place, apps in sorted(places.items())]
    lines.append("all of this at once; nothing is switched before all of it has succeeded")
    return lines


def _order(project: Project, plan: Plan) -> list[str]:
    """The switches, wave by wave; a wave's apps go at once, each as soon as those it needs are up."""
    after = {name: app.after for name, app in project.apps.items()}
    needs = predecessors(after, [a.app for a in plan.releases])
    last = {a.app for a in plan.releases if not a.reversible}
    lines, done = [], set[str]()
    waves = _waves({a: n for a, n in needs.items() if a not in last}, done)
    lines += [_switches(plan, wave, needs) for wave in waves]
    if last:
        late = _waves({a: n for a, n in needs.items() if a not in done}, done)
        first_wave = [a for wave in late[:1] for a in wave]
        lines.append(f"point of no return: {', '.join(first_wave)} cannot be taken back")
        lines += [_switches(plan, wave, needs) for wave in late]
    if plan.changes:
        lines.append(f"record {', '.join(a.app for a in plan.changes)}, once all are healthy")
    return lines


def _switches(plan: Plan, wave: Sequence[str], needs: Mapping[str, tuple[str, ...]]) -> str:
    """One wave's apps, each with what it waits for and how long it should take."""
    said = []
    for app in wave:
        after = f" after {wording.listed(needs[app])}" if needs[app] else ""
        said.append(_timed(plan, app, StepKind.RELEASE, StepKind.VERIFY, after=after))
    return f"switch and verify{', at once:' if len(wave) > 1 else ''} {', '.join(said)}"


def _timed(plan: Plan, app: str, *kinds: StepKind, after: str = "") -> str:
    """An app, with how long these steps of it should take one after the other, where that is known."""
    times = [step.expected_s for step in plan.steps if step.app == app and step.kind in kinds]
    known = [seconds for seconds in times if seconds is not None]
    if not known or len(known) < len(times):
        return f"{app}{after}"
    longest = max(known) if kinds == (StepKind.BACKUP,) else sum(known)  # its databases' go at once
    return f"{app}{after} ({wording.duration(longest)})"


def _time(plan: Plan) -> list[str]:
    """How long it should take, and how that is known."""
    if not plan.releases:
        return []
    expected = expected_time(plan.steps)
    if expected is None:
        return [f"unknown: no record in {plan.environment} says yet how long its steps took"]
    said = wording.duration(expected.seconds)
    if expected.is_whole:
        return [f"about {said}, by what the last records in {plan.environment} took"]
    lacking = {s.app for s in plan.steps if s.kind in TIMED and s.expected_s is None}
    apps = [app.app for app in plan.releases if app.app in lacking]
    return [f"at least {said}; what is not known yet: {', '.join(apps)}"]


def _undo(plan: Plan) -> list[str]:
    """What would become of each app if a switch or a verification failed."""
    back, emptied, stay = [], [], []
    for app in plan.releases:
        if not app.reversible:
            why = "its database's schema does not go back" if app.has_release_phase else "it has no undo"
            stay.append(f"{app.app} ({why if app.before is not None else 'what runs is not known'})")
        elif app.before is not None and app.before.artifacts:
            back.append(app.app + (f" ({app.before.marker})" if app.before.marker else ""))
        else:
            emptied.append(app.app)
    lines = []
    if back:
        lines.append(f"if it fails, last switched first, back to what runs now: {', '.join(back)}")
    if emptied:
        lines.append(f"if it fails, taken out again, since nothing ran before: {', '.join(emptied)}")
    if stay:
        lines.append(f"cannot be taken back: {', '.join(stay)}")
    return lines


def _waves(needs: Mapping[str, tuple[str, ...]], done: set[str]) -> list[list[str]]:
    waves = []
    left = dict(needs)
    while ready := [app for app, others in left.items() if done.issuperset(others)]:
        waves.append(ready)
        done.update(ready)
        for app in ready:
            del left[app]
    return waves


def _gates(plan: Plan, *, verbose: bool) -> list[str]:
    lines = []
    for verdict in plan.verdicts:
        said = "passed" if verdict.passed else "REFUSED"
        if verdict.overridden:
            said = f"overridden ({verdict.overridden})"
        when = (
            f"; can pass from {verdict.passes_at:%a %Y-%m-%d %H:%M %Z}"
            if verdict.passes_at and not verdict.passed
            else ""
        )
        lines.append(f"{verdict.gate}: {said}; {verdict.reason}{when}")
        is_said = len(verdict.output) == 1 and verdict.reason.endswith(verdict.output[0])
        if (not verdict.passed or verbose) and not is_said:
            lines += [f"    {line}" for line in verdict.output]
    return lines


def _all_notes(plan: Plan) -> list[str]:
    lines = list(plan.notes)
    for app in plan.apps.values():
        lines += [f"{app.app}: {note}" for note in app.notes]
        if app.removes:
            lines.append(f"{app.app}: {', '.join(app.removes)} will be removed; the release no longer has it")
        if app.asleep:
            lines.append(f"{app.app}: {', '.join(app.asleep)} is scaled to zero there, and stays so")
    return lines + list(dict.fromkeys(app.hint for app in plan.blocked if app.hint))
