"""Publish: build a checkout's apps, and make their artifacts present everywhere. Nothing is released."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from liftlock.commands.names import check_names
from liftlock.errors import ArtifactMissing, LiftlockError, UsageError, ungrouped
from liftlock.model import App, Missing, Project, Release
from liftlock.ports import Adapters, BuiltImage, Publication
from liftlock.tasks import Rendezvous, each

Tell = Callable[[str, str], None]
"""Hears (app, what happens)."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The work tree that is deployed: its folder, its repository's name, and the commit it stands at."""

    folder: Path
    repository: str
    commit: str
    dirty: bool = False


def apps_here(project: Project, checkout: Checkout, apps: Collection[str] = ()) -> Mapping[str, App]:
    """The apps that are built from the checkout's repository. Raises `UsageError` when there is none."""
    here = {name: app for name, app in project.apps.items() if app.repository == checkout.repository}
    if not here:
        known = ", ".join(sorted({app.repository for app in project.apps.values()}))
        raise UsageError(
            f"No app of {project.name} is built from {checkout.repository or 'this checkout'}.",
            hint=f"The apps' repositories are {known}.",
        )
    if elsewhere := sorted(set(apps) - here.keys()):
        raise UsageError(
            f"{elsewhere[0]} is not built from {checkout.repository}, but from "
            f"{project.apps[elsewhere[0]].repository}.",
            hint="Run this in a checkout of that repository.",
        )
    return {name: app for name, app in here.items() if not apps or name in apps}


async def build(
    project: Project, adapters: Adapters, checkout: Checkout, apps: Collection[str], tell: Tell
) -> Mapping[str, Mapping[str, BuiltImage]]:
    """The images of the checkout's apps on this machine, by app and process type. Nothing is pushed."""
    check_names(project, (), apps)
    here = apps_here(project, checkout, apps)

    async def one(name: str) -> Mapping[str, BuiltImage]:
        platform = adapters.platforms[here[name].platform]
        return await platform.build(here[name], checkout.folder, lambda text: tell(name, text))

    return await each(here, one)


async def push(
    project: Project,
    adapters: Adapters,
    checkout: Checkout,
    apps: Collection[str],
    tell: Tell,
    kept: Mapping[str, Release] | None = None,
) -> Mapping[str, Release | Missing]:
    """Publish the checkout's apps: their artifacts are present everywhere, and nothing is switched.

    No tag moves before every app's artifacts are there. `kept` are releases that need no publishing.
    """
    check_names(project, (), apps)
    here = apps_here(project, checkout, apps)
    ready = Rendezvous(here)

    async def publish(name: str) -> Release | Missing:
        if kept and name in kept:
            ready.reached(name)
            return kept[name]
        app = here[name]
        publication = Publication(lambda: ready.meet(name), rebuild=checkout.dirty)
        try:
            release = await adapters.platforms[app.platform].publish(
                app, checkout.commit, checkout.folder, lambda text: tell(name, text), publication
            )
        except _LeftOut as error:
            return Missing(error.message, error.hint)
        except ArtifactMissing as error:
            ready.give_up(_LeftOut(f"its tags were not moved, since {name} failed", hint=error.hint))
            return Missing(error.message, error.hint)
        ready.reached(name)
        return release

    with ungrouped():
        return await each(here, publish)


class _LeftOut(LiftlockError):
    """Another app of the same deploy could not be published."""
