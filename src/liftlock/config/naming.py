"""What each vendor calls things: environments, targets and records, with every template filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liftlock.config.schema import PLATFORMS, AppTable, EnvironmentTable, ProjectTable
from liftlock.config.values import filled
from liftlock.model import RecordName


def vendor_names(environment: str, table: EnvironmentTable) -> dict[str, str]:
    """What the vendors call an environment; its own name where the file says nothing else."""
    return {"github": table.github or environment, "firebase": table.firebase or environment}


def platforms_of(app: AppTable, added_platforms: Mapping[str, Any] | frozenset[str]) -> list[str]:
    """The platforms that an app names; exactly one when the file is right."""
    return [name for name in (*PLATFORMS, *sorted(added_platforms)) if getattr(app, name, None)]


def fill(template: str, environment: str, vendors: Mapping[str, str], own: str = "") -> str:
    """`template` for an environment; `{env}` is `own`, else liftlock's name of it."""
    return filled(template, {**vendors, "env": own or environment})


def target_name(
    name: str, app: AppTable, platform: str, environment: str, vendors: Mapping[str, str]
) -> str | None:
    """What the platform calls an app's target; None when a table leaves this environment out."""
    if platform == "command":
        return name
    own = vendors["firebase"] if platform == "firebase" else environment
    return by_environment(getattr(app, platform), environment, vendors, own)


def by_environment(
    names: str | dict[str, str], environment: str, vendors: Mapping[str, str], own: str = ""
) -> str | None:
    """The name that a template or a table gives for an environment; None when a table leaves it out."""
    template = names if isinstance(names, str) else names.get(environment)
    return None if template is None else fill(template, environment, vendors, own)


def registry_of(
    app: AppTable, project: ProjectTable, environment: str, vendors: Mapping[str, str]
) -> str | None:
    """The place of an app's images in an environment; "" when the file names none, None when a table
    leaves the environment out."""
    return by_environment(app.registry or project.registry, environment, vendors)


def record_name(
    name: str, app: AppTable, repository: str, environment: str, vendors: Mapping[str, str]
) -> RecordName:
    """How the ledger names an app's records in an environment."""
    return RecordName(
        repository=app.repository or repository,
        task=fill(app.record.task or f"deploy:{name}", environment, vendors),
        environment=fill(app.record.environment or "{github}", environment, vendors),
    )
