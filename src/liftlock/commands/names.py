"""Names on the command line that the project must have."""

from __future__ import annotations

from collections.abc import Collection

from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.naming import nearest


def check_names(project: Project, environments: Collection[str], apps: Collection[str] = ()) -> None:
    """Raises `UsageError` for the first environment or app that the project does not have."""
    for what, names, known in (
        ("environment", environments, project.environments),
        ("app", apps, project.apps),
    ):
        for name in names:
            if name not in known:
                near = nearest(name, known)
                raise UsageError(
                    f"There is no {what} {name!r} in {project.name}.",
                    hint=(f"Did you mean {near}? " if near else "") + f"It has: {', '.join(known)}.",
                )
