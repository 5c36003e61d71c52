"""Deploy: make a checkout's artifacts present everywhere, and plan their release in one environment."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.promote import check_names
from liftlock.errors import ArtifactMissing, UsageError
from liftlock.model import Kind, Missing, Project
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import each


@dataclass(frozen=True, slots=True)
class Checkout:
    """The work tree that is deployed: its folder, its repository's name, and the commit it stands at."""

    folder: Path
    repository: str
    commit: str
    dirty: bool = False


def first_environment(project: Project) -> str:
    """The environment that deploys go to: the first that is not promoted from another one."""
    for environment in project.environments.values():
        if not environment.promotes_from:
            return environment.name
    raise UsageError(
        "Every environment is promoted from another one, so there is none to deploy to.",
        hint="Remove `from` from the first one in liftlock.toml.",
    )


async def plan_deploy(
    project: Project,
    adapters: Adapters,
    checkout: Checkout,
    environment: str,
    apps: Collection[str] = (),
    tell: Callable[[str, str], None] = lambda app, text: None,
) -> Plan:
    """Publish the checkout's apps, and return the plan that releases them in `environment`.

    Publishing switches nothing: images are pushed to every environment, a site's files become a
    version that is not live. `tell` hears (app, what happens).
    """
    check_names(project, (environment,), apps)
    if project.environments[environment].promotes_from:
        ways = ", ".join(project.environments[environment].promotes_from)
        raise UsageError(
            f"{environment} is promoted from {ways}, so nothing is deployed to it directly.",
            hint=f"Deploy to {first_environment(project)}, then promote.",
        )
    here = {name: app for name, app in project.apps.items() if app.repository == checkout.repository}
    if not here:
        known = ", ".join(sorted({app.repository for app in project.apps.values()}))
        raise UsageError(
            f"No app of {project.name} is built from {checkout.repository or 'this checkout'}.",
            hint=f"The apps' repositories are {known}.",
        )

    async def publish(name: str) -> Wanted | Missing:
        app = here[name]
        platform = adapters.platforms[app.platform]
        try:
            release = await platform.publish(
                app, checkout.commit, checkout.folder, lambda text: tell(app.name, text)
            )
        except ArtifactMissing as error:
            return Missing(error.message, error.hint)
        return Wanted(release)

    wanted = await each(here, publish)
    observation = await Observer(project, adapters, environment).for_releases(wanted)
    refuse_open_intents(environment, observation.open_intents)
    return make_plan(project, observation, kind=Kind.DEPLOY, environment=environment, selected=apps)
