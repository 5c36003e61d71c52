"""The job summary of GitHub Actions, as Markdown: what went where, how it ended, what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from liftlock import wording
from liftlock.cli.plan_view import heading
from liftlock.cli.result_view import next_step
from liftlock.cli.steps import in_words
from liftlock.engine.announce import origin
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.way_back import Standing
from liftlock.errors import LiftlockError
from liftlock.model import Backup, Intent, Project, Release
from liftlock.planning.plan import Action, AppPlan, Plan

NOW = {
    Standing.NEW: "runs the new",
    Standing.OLD: "as before",
    Standing.UNTOUCHED: "untouched",
    Standing.UNSURE: "**look at it**",
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$@])")
LONGEST = 4000
"""Characters of one message: a summary may have a mebibyte, and a vendor's answer be as long."""


def ended(project: Project, plan: Plan, result: Result, environ: Mapping[str, str]) -> str:
    """How a run ended, app by app."""
    took = wording.duration(result.elapsed_s)
    done = result.ending is Ending.SUCCEEDED
    how = (
        (f"done in {took}" if done else f"{_ending(result)} after {took}")
        if plan.changes
        else "nothing to do"
    )
    apps = [app for app in plan.apps.values() if app.changes or app.action is not Action.UNCHANGED]
    parts = [
        f"### {'✅' if done else '❌'} {_text(heading(plan))}: {_text(how)}",
        _facts({"plan": f"`{plan.digest}`", "promotion": f"`{result.intent.id}`" if result.intent else ""}),
        _table(
            ("App", "", "From", "To", "Artifacts", "Now"),
            [
                (
                    f"**{_text(app.app)}**",
                    _text(app.action),
                    _commit(project, app.app, app.replaces.release if app.replaces else None, environ),
                    _commit(project, app.app, app.release, environ),
                    _artifacts(app),
                    NOW[result.apps[app.app]] if app.app in result.apps else _text(app.why),
                )
                for app in apps
            ],
        ),
        _unchanged(plan),
        _backups(result.backups),
        _cause(result),
        _notes(result.notes),
        f"**Next:** {_text(next_step(plan, result))}" if not done else "",
    ]
    return _page(parts)


def undone(intent: Intent, result: Result) -> str:
    """How an undo ended, app by app."""
    what = "undone" if result.ending is Ending.FAILED else _ending(result)
    mark = "✅" if result.ending is Ending.FAILED else "❌"
    title = origin(intent.kind, intent.source, intent.environment)
    return _page(
        [
            f"### {mark} {_text(title)}: {_text(what)} in {wording.duration(result.elapsed_s)}",
            _facts({"plan": f"`{intent.plan_digest}`", "promotion": f"`{intent.id}`"}),
            _table(
                ("App", "Now"), [(f"**{_text(a)}**", NOW[standing]) for a, standing in result.apps.items()]
            ),
            _cause(result),
            _notes(result.notes),
        ]
    )


def refused(
    title: str,
    planned: tuple[Project, Plan] | None,
    error: LiftlockError,
    environ: Mapping[str, str],
) -> str:
    """A command that ended with an error, with the plan where there was one by then."""
    done = error.exit_code == 0
    parts = [f"### {'✅' if done else '❌'} {_text(title[:1].upper() + title[1:])}: not done"]
    if planned is not None:
        project, plan = planned
        parts += [
            _facts({"plan": f"`{plan.digest}`"}),
            _table(
                ("App", "", "From", "To", "Why"),
                [
                    (
                        f"**{_text(app.app)}**",
                        _text(app.action),
                        _commit(project, app.app, app.replaces.release if app.replaces else None, environ),
                        _commit(project, app.app, app.release, environ),
                        _text(app.why),
                    )
                    for app in plan.apps.values()
                    if app.action is not Action.UNCHANGED
                ],
            ),
        ]
    parts.append(_quote(error.message))
    if error.hint:
        parts.append(f"**Next:** {_text(error.hint)}")
    return _page(parts)


def _ending(result: Result) -> str:
    if result.ending is Ending.FAILED:
        return "interrupted" if result.interrupted and result.cause is None else "failed"
    return str(result.ending)


def _unchanged(plan: Plan) -> str:
    names = [app.app for app in plan.apps.values() if app.action is Action.UNCHANGED]
    return f"Unchanged: {_text(', '.join(names))}." if names else ""


def _backups(backups: Sequence[Backup]) -> str:
    if not backups:
        return ""
    return _table(
        ("Backup", "App", "Size", "Taken"),
        [
            (f"`{b.id}`", _text(b.app), wording.size(b.size_bytes), f"{b.finished_at:%Y-%m-%d %H:%M:%S} UTC")
            for b in backups
        ],
    )


def _cause(result: Result) -> str:
    if result.cause is not None:
        said = _quote(f"{in_words(result.failed_step)}: {result.cause.message}")
        return f"{said}\n\n{_text(result.cause.hint)}" if result.cause.hint else said
    return _quote(result.interrupted) if result.interrupted else ""


def _notes(notes: Iterable[str]) -> str:
    return "\n".join(f"- {_text(note)}" for note in notes)


def _facts(facts: Mapping[str, str]) -> str:
    return " · ".join(f"{name} {value}" for name, value in facts.items() if value)


def _commit(project: Project, app: str, release: Release | None, environ: Mapping[str, str]) -> str:
    """A commit, as a link to it where the runner says on which server it is."""
    if release is None:
        return "nothing"
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/")
    repository = project.apps[app].repository if app in project.apps else ""
    short = f"`{release.short_commit}`"
    return f"[{short}]({server}/{repository}/commit/{release.commit})" if server and repository else short


def _artifacts(app: AppPlan) -> str:
    release = app.located.release if app.located else app.release
    parts = release.artifacts.items() if release else ()
    return ", ".join(f"{_text(part)} `{artifact.short}`" for part, artifact in parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _quote(message: str) -> str:
    """A message as it is, line by line, in a fence that nothing in it can close."""
    fence = "`" * (max((len(run) for run in re.findall("`+", message)), default=2) + 1)
    fence = fence if len(fence) > 3 else "```"
    return f"{fence}text\n{message[:LONGEST]}\n{fence}"


def _text(text: str) -> str:
    """`text` in one line, with nothing in it that Markdown or HTML would take for its own."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n\n"
