"""What TAB offers where a name is wanted: from the project's file and files beside it, never from the network.

A completer says nothing where it cannot: a mistake in the file is told by the command, not at TAB.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from liftlock.errors import LiftlockError

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from liftlock.model import Project

MOST_IDS = 20


def environments(context: CompletionContext) -> dict[str, str]:
    """The project's environments, each with those that it may be promoted from."""
    project = _project(context)
    if project is None:
        return {}
    return {
        name: f"from {', '.join(environment.promotes_from)}" if environment.promotes_from else "the first"
        for name, environment in project.environments.items()
    }


def sources(context: CompletionContext) -> dict[str, str]:
    """The environments that something may be promoted from."""
    project = _project(context)
    lifted = {
        below for each in (project.environments.values() if project else ()) for below in each.promotes_from
    }
    return {name: words for name, words in environments(context).items() if name in lifted}


def targets(context: CompletionContext) -> dict[str, str]:
    """The environments that may be promoted to from the source that was typed."""
    project = _project(context)
    typed = context.get("source")
    source = typed.raw if typed else None
    if project is None:
        return {}
    return {
        name: words
        for name, words in environments(context).items()
        if project.environments[name].promotes_from
        and (source is None or source in project.environments[name].promotes_from)
    }


def apps(context: CompletionContext) -> dict[str, str]:
    """The project's apps, without those that were typed already."""
    project = _project(context)
    typed = {token.value for token in context.argument.tokens}
    found = project.apps.values() if project else ()
    return {app.name: app.platform for app in found if app.name not in typed}


def gates(context: CompletionContext) -> list[str]:
    """The gates that there are."""
    from liftlock.planning.gates import GATES

    return list(GATES)


def promotions(context: CompletionContext) -> dict[str, str]:
    """The newest promotions, where the ledger is a file; a ledger elsewhere would keep whoever types waiting."""
    project = _project(context)
    if project is None or not project.ledger.startswith("sqlite:"):
        return {}
    from liftlock.ledgers.sqlite import newest_intents
    from liftlock.sqlite_file import path_of

    typed = context.get("environment")
    return dict(newest_intents(path_of(project), project.name, (typed and typed.raw) or "", MOST_IDS))


def _project(context: CompletionContext) -> Project | None:
    from liftlock.config import find, load

    typed = context.get("config")
    named = (typed.raw if typed else None) or ""
    if named.startswith("github:"):
        return None
    try:
        return load(Path(named) if named else find(Path.cwd()), os.environ)
    except LiftlockError:
        return None
