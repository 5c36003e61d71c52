"""A draft as a liftlock.toml that a person likes to read on: short, and every guess marked as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from liftlock.commands.adopt.draft import Draft, DraftApp, DraftEnvironment, DraftProcess

GUESS = "a guess: please look"


def text(draft: Draft) -> str:
    """The file's text. What stands in it was found, but for lines that say that they are guessed."""
    return "\n".join(_lines(draft)).rstrip() + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    yield "# Written by `liftlock init`. Every key: docs/reference/configuration.md of liftlock."
    yield "# Look first, nothing is changed by it: liftlock doctor, liftlock status, liftlock plan SOURCE TARGET"
    yield "[project]"
    yield f"name = {_quoted(draft.name)}"
    if draft.repository:
        yield f"repository = {_quoted(draft.repository)}"
    yield '# settle = "30s"                        # how long a release must stay healthy'
    yield ""
    for environment in draft.environments:
        yield from _environment(environment)
    services = [app.name for app in draft.apps if app.platform == "heroku"]
    for app in draft.apps:
        yield from _app(app, draft.environments, services)
    for name, repository in draft.commands:
        yield f"# {repository} has records of deploy:{name}, and no app or site is called so. If it is a command:"
        yield f"# [apps.{_key(name)}]"
        if repository != draft.repository:
            yield f"# repository = {_quoted(repository)}"
        yield '# command = { status = ["./migrate", "status", "{env}"], apply = ["./migrate", "apply", "{env}"] }'
        yield ""
    yield "" if draft.webhook else "# Tell Slack how promotions ended:"
    mark = "" if draft.webhook else "# "
    yield f"{mark}[notify]"
    yield f'{mark}slack = {{ webhook = "env:{draft.webhook or "SLACK_WEBHOOK_URL"}" }}'


def _environment(environment: DraftEnvironment) -> Iterator[str]:
    yield f"[environments.{_key(environment.name)}]"
    if environment.source:
        yield f"from = [{_quoted(environment.source)}]"
    if environment.github != environment.name:
        yield f"github = {_quoted(environment.github)}"
    if environment.firebase != environment.name:
        yield f"firebase = {_quoted(environment.firebase)}"
    if environment.source:
        yield '# gates = { approvals = 1, soak = "2h" }   # what must hold before it is changed'
    yield ""


def _app(app: DraftApp, environments: Sequence[DraftEnvironment], services: Sequence[str]) -> Iterator[str]:
    yield f"[apps.{_key(app.name)}]"
    yield f"{app.platform} = {_targets(app, environments)}{f'  # {GUESS}' if app.guessed else ''}"
    if app.repository:
        yield f"repository = {_quoted(app.repository)}"
    if app.folder != ".":
        yield f"folder = {_quoted(app.folder)}"
    if app.platform == "firebase" and services:
        yield f"# after = [{', '.join(map(_quoted, services))}]   # those that it talks to"
    if app.database:
        yield "backup = true                          # it has a Heroku Postgres"
    if any(process.name == "release" for process in app.processes):
        yield '# undo = "safe"                        # if its migrations are backward compatible'
    yield from map(_process, app.processes)
    if app.record_task or app.record_environment:
        keys = {"task": app.record_task, "environment": app.record_environment}
        yield f"record = {{ {', '.join(f'{key} = {_quoted(value)}' for key, value in keys.items() if value)} }}"
    yield ""


def _process(process: DraftProcess) -> str:
    line = f"processes.{_key(process.name)} = {{ {process.key} = {_quoted(process.value)} }}"
    return f"{line}  # {GUESS}" if process.guessed else line


def _targets(app: DraftApp, environments: Sequence[DraftEnvironment]) -> str:
    """A template where the names follow one, else a table."""
    words = {one.name: one.firebase if app.platform == "firebase" else one.name for one in environments}
    templates = {
        name.replace(words[environment], "{env}")
        if name.count(words[environment]) == 1
        else name.removesuffix(words[environment]) + "{env}"
        for environment, name in app.targets.items()
    }
    template = min(templates)
    if all(template.replace("{env}", words[one]) == name for one, name in app.targets.items()):
        return _quoted(template)
    return "{ " + ", ".join(f"{_key(one)} = {_quoted(name)}" for one, name in app.targets.items()) + " }"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = name.isascii() and all(c.isalnum() or c in "-_" for c in name)
    return name if bare and name else _quoted(name)
