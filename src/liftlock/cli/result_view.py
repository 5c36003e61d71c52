"""How a run ended, for people, to be pasted into a chat, and for machines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from liftlock import wording
from liftlock.cli.output import Output
from liftlock.cli.plan_view import commits, heading
from liftlock.cli.steps import in_words
from liftlock.engine.announce import origin
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.way_back import Standing
from liftlock.model import Backup, Intent, Kind, StepTime
from liftlock.planning.plan import Action, AppPlan, Plan

_STAMP = re.compile(r"^( +)\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)[.\d]*Z ", re.MULTILINE)


def show_result(output: Output, plan: Plan, result: Result) -> None:
    """Print how the run ended, app by app, and what to type next. Plain text: it can be pasted into a chat."""
    seconds = wording.duration(result.elapsed_s)
    who = f", by {result.intent.creator}" if result.intent is not None and result.intent.creator else ""
    output.line()
    if result.ending is Ending.SUCCEEDED:
        output.line(f"{heading(plan)}: done in {seconds}{who}.", style="bold green", hang=2)
        hang = 4 + max((len(app.app) for app in plan.changes), default=0)
        for line in _lifted(plan, result):
            output.line(f"  {line}", hang=hang)
        for note in result.notes:
            output.line(f"  note: {note}", hang=8)
        if result.intent is not None:
            output.line(
                f"  {plan.kind} {result.intent.id}, plan {plan.digest[:12]}; see: {_in_detail(result)}",
                hang=4,
            )
        return
    how = str(result.ending)
    if result.ending is Ending.FAILED:
        how = "interrupted" if result.interrupted and result.cause is None else "failed"
    mixed = "" if result.ending is Ending.FAILED else ","
    output.line(f"{heading(plan)}: {how}{mixed} after {seconds}{who}.", style="bold red", hang=2)
    if result.cause is not None:
        output.line(
            f"  what happened   {in_words(result.failed_step)}: {_without_dates(result.cause.message)}",
            hang=18,
        )
        if result.cause.hint:
            output.line(f"                  {result.cause.hint}", hang=18)
    elif result.interrupted:
        output.line(f"  what happened   {result.interrupted}", hang=18)
    if result.put_back:
        output.line(f"  put back        {', '.join(result.put_back)}", hang=18)
    _standings(output, result, plan)
    for backup in result.backups:
        output.line(f"  backup          {_backup(backup)} of {backup.app} was taken, and is kept", hang=18)
    why, command = _next(plan, result)
    output.line(f"  next            {why}:", hang=18)
    output.line(f"                  {command}")  # never broken: it is to be copied
    if result.intent is not None:
        output.line(f"  in detail       {_in_detail(result)}", hang=18)


def _in_detail(result: Result) -> str:
    return f"liftlock history {result.intent.id}" if result.intent is not None else "liftlock history"


def _lifted(plan: Plan, result: Result) -> list[str]:
    """A line for each app that moved: from what to what, its backups, and how soon it was up."""
    rows = []
    for app in plan.changes:
        deployment = (result.deployments or {}).get(app.app)
        backups = [_backup(b) for b in result.backups if b.app == app.app]
        rows.append((app.app, commits(app), _up(app, deployment.steps if deployment else {}), backups))
    names, moves = (max((len(row[n]) for row in rows), default=0) for n in (0, 1))
    lines = []
    for name, moved, up, backups in rows:
        kept = f"; backup {', '.join(backups)}" if backups else ""
        lines.append(f"{name:<{names}}  {moved:<{moves}}  {up}{kept}")
    unchanged = [a.app for a in plan.apps.values() if a.action is Action.UNCHANGED]
    if unchanged:
        lines.append(f"unchanged: {', '.join(unchanged)}")
    return lines


def _up(app: AppPlan, steps: Mapping[str, StepTime]) -> str:
    if app.action is Action.RECORD:
        return "only its record moved"
    took = [steps[step].took_s for step in ("release", "verify") if step in steps]
    return f"switched and healthy in {wording.duration(sum(took))}" if took else "switched"


def _backup(backup: Backup) -> str:
    return f"{backup.id} ({wording.size(backup.size_bytes)})"


def _without_dates(message: str) -> str:
    """A platform's log lines in a message, each with the time of day alone."""
    return _STAMP.sub(r"\1\2 ", message)


def _standings(output: Output, result: Result, plan: Plan | None = None) -> None:
    """What runs now, app by app, with the commit where it is known."""

    def named(app: str, standing: Standing) -> str:
        planned = plan.apps.get(app) if plan is not None else None
        if planned is None or standing is Standing.UNSURE:
            return app
        release = planned.release if standing is Standing.NEW else None
        if standing is not Standing.NEW and planned.replaces is not None:
            release = planned.replaces.release
        return f"{app} {release.short_commit}" if release else app

    for standing, words in (
        (Standing.UNTOUCHED, "untouched"),
        (Standing.OLD, "runs as before"),
        (Standing.NEW, "runs the new"),
        (Standing.UNSURE, "LOOK AT"),
    ):
        apps = [named(app, standing) for app, value in result.apps.items() if value is standing]
        if apps:
            output.line(f"  {words:<15} {', '.join(apps)}", hang=18)
    for note in result.notes:
        output.line(f"  note            {note}", hang=18)


def next_step(plan: Plan, result: Result) -> str:
    """What to type next, for a run that did not succeed."""
    return ": ".join(_next(plan, result))


def _next(plan: Plan, result: Result) -> tuple[str, str]:
    """Why something is to be typed next, and what."""
    if result.stands_open and result.ending in {Ending.FAILED, Ending.UNRECORDED}:
        runs = "what it ran before" if result.ending is Ending.FAILED else "the new apps, all of them healthy"
        open_ = "The promotion's own record stands open, and nothing else can begin there before"
        return f"{plan.environment} runs {runs}. {open_}", f"liftlock resume {plan.environment}"
    if result.ending is Ending.FAILED:
        first = "Mend the cause, then run" if result.cause else "To do it all the same, run"
        return f"{plan.environment} runs what it ran before. {first}", _command(plan)
    if result.ending is Ending.UNRECORDED:
        return "all apps are new and healthy; write their records", _command(plan)
    if result.stands_open:
        why = "It stands open: unless whoever holds the environment sees to it, finish or undo it with"
        return why, f"liftlock resume {plan.environment}"
    return "a person has to look", f"liftlock status {plan.environment}"


def _command(plan: Plan) -> str:
    """The command that plans the same again."""
    places = {
        Kind.PROMOTION: f"promote {plan.source} {plan.environment}",
        Kind.ROLLBACK: f"rollback {plan.environment}",
        Kind.DEPLOY: f"deploy {plan.environment}",
        Kind.RECORD: f"record {plan.environment}",
    }
    apps = plan.selected if plan.kind is not Kind.DEPLOY else ()
    return " ".join(("liftlock", places[plan.kind], *apps))


def told_intent(intent: Intent, now: datetime) -> str:
    """One line on a promotion that stands open."""
    what = origin(intent.kind, intent.source, intent.environment)
    since = wording.duration((now - intent.created_at).total_seconds())
    who = f" by {intent.creator}" if intent.creator else ""
    apps = ", ".join(intent.releases)
    return f"The {what} ({intent.id}) has stood open for {since}{who}: {apps}."


def show_undone(output: Output, intent: Intent, result: Result) -> None:
    """Print how an undo ended, app by app."""
    style = "bold green" if result.ending is Ending.FAILED else "bold red"
    what = "undone" if result.ending is Ending.FAILED else str(result.ending)
    output.line()
    output.line(
        f"{intent.id} in {intent.environment}: {what} in {wording.duration(result.elapsed_s)}.", style=style
    )
    _standings(output, result)
