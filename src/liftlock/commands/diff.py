"""Diff: what lies between two environments, app by app. Looks only: records, commits, registries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from liftlock.commands.inputs import any_matches
from liftlock.commands.names import check_names
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Between, Deployment, Project
from liftlock.planning.comparison import AppComparison, Comparison, Standing, sizes
from liftlock.ports import Adapters, Measures
from liftlock.tasks import each, together

Range = tuple[str, str, str]
"""A repository, and two of its commits."""


async def compare(
    project: Project, adapters: Adapters, source: str, target: str, apps: Collection[str] = ()
) -> Comparison:
    """What the source's records hold that the target's do not. Any two environments can be compared.

    What cannot be told (of commits, of sizes) is left out with a note; a ledger that cannot be read raises.
    """
    check_names(project, (source, target), apps)
    if source == target:
        raise UsageError(
            f"{source} does not differ from itself.", hint="For example: liftlock diff dev staging"
        )
    names = [name for name in project.apps if not apps or name in apps]
    there, here = await together(
        lambda: adapters.ledger.read(source, names).recorded(),
        lambda: adapters.ledger.read(target, names).recorded(),
    )
    compared = [
        AppComparison(name, project.apps[name].repository, there[name].current, here[name].current)
        for name in names
    ]
    differ = [app for app in compared if app.standing not in {Standing.UNCHANGED, Standing.ABSENT}]
    histories, weighed = await together(
        partial(_histories, adapters, differ), partial(_weighed, project, adapters, differ)
    )
    return Comparison(
        project.name,
        source,
        target,
        tuple(_with(project, app, histories, weighed.get(app.app, app)) for app in compared),
    )


@dataclass(frozen=True, slots=True)
class _History:
    """What lies between two commits, or why that could not be told."""

    between: Between | None
    trouble: str = ""


async def _histories(adapters: Adapters, apps: Collection[AppComparison]) -> Mapping[Range, _History]:
    """What lies between the commits of each app, each range asked for once."""
    ranges = {app.range for app in apps if all(app.range[1:]) and app.range[1] != app.range[2]}

    async def ask(key: Range) -> _History:
        try:
            found = await adapters.source_code.history(*key)
        except LiftlockError as error:
            return _History(None, error.message)
        _, base, head = key
        return _History(found, "" if found else f"nobody knows both {base[:7]} and {head[:7]}")

    ordered = sorted(ranges)
    return dict(zip(ordered, await together(*[partial(ask, key) for key in ordered]), strict=True))


async def _weighed(
    project: Project, adapters: Adapters, apps: Collection[AppComparison]
) -> Mapping[str, AppComparison]:
    """The apps with what their artifacts weigh, where their platforms can tell."""
    by_name = {app.app: app for app in apps}

    async def weigh(name: str) -> AppComparison:
        app = by_name[name]
        before, after = await together(
            partial(_blobs, project, adapters, app.target), partial(_blobs, project, adapters, app.source)
        )
        return replace(app, sizes=sizes(before, after))

    return await each(by_name, weigh)


async def _blobs(
    project: Project, adapters: Adapters, deployment: Deployment | None
) -> Mapping[str, Mapping[str, int]] | None:
    """By part, an app's blobs; None where not every part's can be told."""
    if deployment is None or not deployment.release.artifacts:
        return None
    app = project.apps[deployment.app]
    platform = adapters.platforms[app.platform]
    if not isinstance(platform, Measures):
        return None
    try:
        found = await platform.blobs(app.targets[deployment.environment], deployment.release)
    except LiftlockError:
        return None
    return found if found.keys() == deployment.release.artifacts.keys() else None


def _with(
    project: Project, app: AppComparison, histories: Mapping[Range, _History], weighed: AppComparison
) -> AppComparison:
    history = histories.get(app.range)
    if history is None:
        return weighed
    between = history.between
    patterns = project.apps[app.app].migrations
    migrations: tuple[str, ...] | None = ()
    if patterns:
        paths = between.paths if between else None
        migrations = None if paths is None else tuple(p for p in paths if any_matches([p], patterns))
    return replace(weighed, between=between, migrations=migrations, note=history.trouble)
