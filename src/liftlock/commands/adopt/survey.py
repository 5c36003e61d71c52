"""Asks everything that can be known of a team's deployments, all at once. Changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from liftlock.accounts import Accounts, HerokuApp, RecordSeen
from liftlock.commands.adopt.checkout import Checkout, beside, read_checkout
from liftlock.commands.adopt.levels import split
from liftlock.errors import LiftlockError
from liftlock.tasks import each, together

MOST_BESIDE = 50
"""How many other checkouts in the folder above are looked at."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """What files and accounts told."""

    checkout: Checkout
    others: Sequence[Checkout] = ()
    """Checkouts beside it of the same owner that have sites, or whose records were found."""
    apps: Sequence[HerokuApp] = ()
    processes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The process types of Heroku apps, as far as they were asked."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Where each Firebase site was found, by its name."""
    records: Sequence[RecordSeen] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Why a vendor told nothing, by what was asked for."""

    @property
    def repository(self) -> str:
        return self.checkout.repository

    @property
    def untold(self) -> Sequence[str]:
        """What nobody told, and why: a reason that several things share is given once."""
        by_reason: dict[str, list[str]] = {}
        for what, why in sorted(self.unasked.items()):
            by_reason.setdefault(why, []).append(what)
        return [f"{', '.join(what)}: {why}" for why, what in by_reason.items()]

    @property
    def checkouts(self) -> Sequence[Checkout]:
        return (self.checkout, *self.others)


async def survey(folder: Path, accounts: Accounts, repositories: Sequence[str] = ()) -> Found:
    """Everything that the checkout at `folder`, its neighbours and the accounts tell.

    `repositories` are looked at besides. A vendor that cannot be asked is told in `unasked`.
    """
    own = read_checkout(folder, repositories[0] if repositories else await accounts.repository(folder))
    near = await _neighbours(own, accounts)
    asked = list(
        dict.fromkeys(filter(None, (own.repository, *(one.repository for one in near), *repositories)))
    )
    unasked: dict[str, str] = {}

    async def told(what: str, ask: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
        try:
            return await ask()
        except LiftlockError as error:
            unasked[what] = f"{error.message} {error.hint}".strip()
            return ()

    async def records(repository: str) -> Sequence[RecordSeen]:
        return await told(f"the records of {repository}", partial(accounts.records, repository))

    async def sites(project: str) -> Sequence[str]:
        return await told(f"the sites of {project}", partial(accounts.sites, project))

    projects = {name for one in (own, *near) for place in one.site_folders for name in place.projects}
    apps, by_repository, by_project = await together(
        partial(told, "the apps at Heroku", accounts.heroku_apps),
        partial(each, asked, records),
        partial(each, sorted(projects), sites),
    )
    others = [one for one in near if one.site_folders or by_repository[one.repository]]
    found_sites = {
        site: f"{one.root.name}/{place.folder}/.firebaserc".replace("/./", "/")
        for one in (own, *others)
        for place in one.site_folders
        for site in place.sites
    }
    for project, names in by_project.items():
        found_sites |= {site: f"the Firebase project {project}" for site in names if site not in found_sites}
    for one in (own, *others):
        for place in one.site_folders:
            untold = [name for name in place.projects if f"the sites of {name}" in unasked]
            # Nobody could be asked: a project's first site is called as the project is.
            source = f"{one.root.name}/{place.folder}/.firebaserc".replace("/./", "/")
            found_sites |= {} if place.sites else dict.fromkeys(untold, f"its project in {source}")

    async def processes(app: str) -> Sequence[str]:
        return await told(f"the process types of {app}", partial(accounts.heroku_processes, app))

    return Found(
        checkout=own,
        others=others,
        apps=apps,
        processes=await each(_samples(apps), processes),
        sites=found_sites,
        records=[one for some in by_repository.values() for one in some],
        unasked=unasked,
    )


async def _neighbours(own: Checkout, accounts: Accounts) -> list[Checkout]:
    """Checkouts beside this one of repositories of the same owner."""
    owner = own.repository.partition("/")[0].lower()
    folders = beside(own.root)[:MOST_BESIDE] if owner else []

    async def repository(path: str) -> str:
        return await accounts.repository(Path(path))

    names = await each(map(str, folders), repository)
    return [
        read_checkout(Path(path), name)
        for path, name in names.items()
        if name.partition("/")[0].lower() == owner and name.lower() != own.repository.lower()
    ]


def _samples(apps: Sequence[HerokuApp]) -> list[str]:
    """One app of each family that runs containers: its process types are those of the others."""
    first: dict[str, str] = {}
    for app in apps:
        named = split(app.name)
        if app.container and (named or app.stage):
            first.setdefault(named.stem if named else app.name, app.name)
    return list(first.values())
