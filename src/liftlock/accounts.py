"""What a team's accounts at the vendors hold, as `init` finds it before there is a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HerokuApp:
    """An app of a Heroku account. `stage` is Heroku's word, "" for an app in no pipeline."""

    name: str
    container: bool = True
    database: bool = False
    pipeline: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """Deployment records of one task and environment in a repository, told by their newest."""

    repository: str
    task: str
    environment: str
    app: str = ""
    """What liftlock calls the app, where it wrote the record itself."""
    processes: tuple[str, ...] = ()
    """The process types whose images the record names."""


class Accounts(Protocol):
    """The vendors, asked before there is a configuration. Changes nothing.

    Every method raises `UsageError` without a credential, and `VendorError`.
    """

    async def repository(self, checkout: Path) -> str:
        """OWNER/NAME of the repository that a folder is a checkout of; "" for any other folder."""
        ...

    async def heroku_apps(self) -> Sequence[HerokuApp]:
        """Every app that the credential sees, with its pipeline and whether it has a database."""
        ...

    async def heroku_processes(self, app: str) -> Sequence[str]:
        """The process types of an app, in the formation's order."""
        ...

    async def sites(self, project: str) -> Sequence[str]:
        """The hosting sites of a Firebase project."""
        ...

    async def records(self, repository: str) -> Sequence[RecordSeen]:
        """The names that deployment records of a repository stand under, newest first."""
        ...
