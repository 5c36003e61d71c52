"""Deploy: make a checkout's artifacts present everywhere, and plan their release in one environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from liftlock.commands.inputs import any_matches
from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.publish import Checkout, Tell, apps_here, push
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import App, Between, Commit, Deployment, Kind, Project, Relation, Release
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import AppPlan, Plan
from liftlock.ports import Adapters
from liftlock.tasks import Background, all_at_once, each


class Superseded(LiftlockError):
    """A newer commit is current already, so the checkout's must not overtake it. Nothing was changed."""

    exit_code = 0

    def __init__(self, app: str, checkout: Checkout, current: Deployment) -> None:
        self.commit = checkout.commit
        self.by = current.release.commit
        super().__init__(
            f"Superseded: {app} runs {current.release.short_commit} in {current.environment}, which is newer "
            f"than {checkout.commit[:7]}. Nothing was changed."
        )


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
    tell: Tell = lambda app, text: None,
) -> Plan:
    """Publish the checkout's apps, and return the plan that releases them in `environment`.

    Publishing switches nothing: images are pushed to every environment, a site's files become a
    version that is not live. An app that nothing changed of keeps its artifacts. Raises `Superseded`
    when an app's current record is of a newer commit.
    """
    check_names(project, (environment,), apps)
    if project.environments[environment].promotes_from:
        ways = ", ".join(project.environments[environment].promotes_from)
        raise UsageError(
            f"{environment} is promoted from {ways}, so nothing is deployed to it directly.",
            hint=f"Deploy to {first_environment(project)}, then promote.",
        )
    here = apps_here(project, checkout, apps)
    async with all_at_once() as tasks:
        about = Background(tasks, adapters.source_code.about, checkout.repository, checkout.commit)
        records = adapters.ledger.read(environment, list(here))
        refuse_open_intents(environment, await records.open_intents())
        recorded = await records.recorded()
        current = {name: record.current for name, record in recorded.items() if record.current is not None}
        kept = await _kept(adapters, checkout, here, current, tell)
        published = await push(project, adapters, checkout, apps, tell, kept)
        wanted = {
            name: Wanted(release, notes=_notes(name, kept)) if isinstance(release, Release) else release
            for name, release in published.items()
        }
        observation = await Observer(project, adapters, environment).for_releases(wanted)
        refuse_open_intents(environment, observation.open_intents)
    plan = make_plan(project, observation, kind=Kind.DEPLOY, environment=environment, selected=apps)
    return _with_commit(plan, await about.result())


def _with_commit(plan: Plan, commit: Commit) -> Plan:
    """The plan whose releases of that commit say what is known of it. Its digest stays."""

    def told(app: AppPlan) -> AppPlan:
        release = app.release
        if release is None or release.commit != commit.sha:
            return app
        return replace(app, release=replace(release, about=commit))

    return replace(plan, apps={name: told(app) for name, app in plan.apps.items()})


async def _kept(
    adapters: Adapters,
    checkout: Checkout,
    here: Mapping[str, App],
    current: Mapping[str, Deployment],
    tell: Tell,
) -> Mapping[str, Release]:
    """The releases of apps that nothing changed of since their record, at the new commit.

    Raises `Superseded` when a record is of a commit that comes after the checkout's.
    """
    commits = sorted({deployment.release.commit for deployment in current.values()} - {checkout.commit})

    async def compare(commit: str) -> Between | None:
        return await adapters.source_code.between(checkout.repository, commit, checkout.commit)

    between = await each(commits, compare)
    kept: dict[str, Release] = {}
    for name, deployment in sorted(current.items()):
        lies = between.get(deployment.release.commit)
        if lies is None:
            if deployment.release.commit != checkout.commit:
                tell(
                    name, f"{deployment.release.short_commit} is not found: whether it is older is not known"
                )
            continue
        if lies.relation is Relation.BEHIND:
            raise Superseded(name, checkout, deployment)
        patterns = here[name].paths
        if checkout.dirty or not patterns or lies.relation is not Relation.AHEAD or lies.paths is None:
            continue
        if not any_matches(lies.paths, patterns):
            kept[name] = replace(deployment.release, commit=checkout.commit)
            tell(name, f"nothing of it changed since {deployment.release.short_commit}")
    return kept


def _notes(name: str, kept: Mapping[str, Release]) -> tuple[str, ...]:
    return ("nothing of it changed: its artifacts are kept",) if name in kept else ()
