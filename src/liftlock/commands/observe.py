"""Look at everything that a plan depends on, all at once: records, what runs, where artifacts are.

The ledger answers in two looks: the newest records first, then whether each of them counts. The
search for artifacts does not wait for the second look: it begins with the newest record, which
nearly always counts, and is done again only for an app whose newest record turns out to have
failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import anyio.abc

from liftlock.commands.look_back import out_of_reach
from liftlock.errors import ArtifactMissing, Busy
from liftlock.model import (
    App,
    Artifacts,
    Database,
    Deployment,
    Intent,
    Located,
    Missing,
    Project,
    Recorded,
    RecordedId,
    Release,
    Running,
    Target,
    Unknown,
    same_artifacts,
)
from liftlock.planning.observation import AppObservation, Observation, Wanted
from liftlock.ports import Adapters, Platform
from liftlock.tasks import Background, all_at_once


class Observer:
    """Gathers an `Observation` of one environment; the use cases differ in what they want there."""

    def __init__(self, project: Project, adapters: Adapters, environment: str) -> None:
        self._project = project
        self._adapters = adapters
        self._environment = environment

    async def for_promotion(self, source: str) -> Observation:
        """What a promotion from `source` needs: its current releases, pinned, and the target's state."""
        apps = list(self._project.apps.values())
        there = self._adapters.ledger.read(source, list(self._project.apps))
        async with all_at_once() as tasks:
            here = _Here(tasks, self._adapters, self._environment, list(self._project.apps))
            source_records = Background(tasks, there.recorded)
            seen = [
                Background(
                    tasks,
                    _Look(app, self._adapters, here).promotion,
                    source,
                    there.newest,
                    source_records.result,
                )
                for app in apps
            ]
            return await self._observation(seen, here)

    async def for_releases(self, wanted: Mapping[str, Wanted | Missing], source: str = "") -> Observation:
        """What a plan to given releases needs: a rollback, a deploy, or a saved promotion from `source`."""
        apps = [app for app in self._project.apps.values() if app.name in wanted]
        async with all_at_once() as tasks:
            here = _Here(tasks, self._adapters, self._environment, [app.name for app in apps])
            seen = [
                Background(tasks, _Look(app, self._adapters, here).given, wanted[app.name], source)
                for app in apps
            ]
            return await self._observation(seen, here)

    async def _observation(self, seen: Sequence[Background[AppObservation]], here: _Here) -> Observation:
        apps = [await app.result() for app in seen]
        return Observation(
            at=self._adapters.clock.now(),
            apps={app.app: app for app in apps},
            open_intents=tuple(await here.open_intents.result()),
            earlier=await here.earlier.result(),
        )


class _Here:
    """The environment's own records, being read."""

    def __init__(
        self, tasks: anyio.abc.TaskGroup, adapters: Adapters, environment: str, apps: Sequence[str]
    ) -> None:
        records = adapters.ledger.read(environment, apps)
        self.environment = environment
        self.recorded = Background(tasks, records.recorded)
        self.open_intents = Background(tasks, records.open_intents)
        self.earlier = Background(tasks, records.earlier)


@dataclass(frozen=True, slots=True)
class _Found:
    """A wanted release, and where its artifacts are."""

    wanted: Wanted | Missing
    located: Located | Missing | None = None


class _Look:
    """One app, in one environment."""

    def __init__(self, app: App, adapters: Adapters, here: _Here) -> None:
        self._app = app
        self._adapters = adapters
        self._platform: Platform = adapters.platforms[app.platform]
        self._target: Target = app.targets[here.environment]
        self._here = here

    async def promotion(
        self,
        source: str,
        newest: Callable[[], Awaitable[Mapping[str, Deployment]]],
        recorded: Callable[[], Awaitable[Mapping[str, Recorded]]],
    ) -> AppObservation:
        origin = self._app.targets[source]
        async with all_at_once() as tasks:
            databases = Background(tasks, self._databases)
            here = Background(tasks, self._platform.running, self._target, ())
            there = Background(tasks, self._platform.running, origin, ())
            guessed = Background(tasks, self._guess, newest, origin)
            back = Background(tasks, self._look_back, newest)
            record = (await recorded())[self._app.name]
            guess, found = await guessed.result()
            current = record.current
            if current is None:
                found = _Found(_no_record(source, record))
            elif guess != current.id:
                found = await self._find(current, origin)
            if not isinstance(found.wanted, Wanted):
                return await self._observation(found, here, databases)
            release = found.wanted.release
            confirmed = Background(tasks, self._confirmed, origin, await there.result(), [release])
            observed = await self._observation(found, here, databases)
            running_there = await confirmed.result()
            reach = await back.result()
        notes = [*found.wanted.notes, *_failed_in_source(record)]
        notes += _source_drift(found.wanted, running_there, source)
        wanted = Wanted(release, current, running_there, tuple(notes))
        return replace(observed, wanted=wanted, out_of_reach=reach)

    async def given(self, wanted: Wanted | Missing, source: str) -> AppObservation:
        origin = self._app.targets.get(source) if source else None
        async with all_at_once() as tasks:
            databases = Background(tasks, self._databases)
            here = Background(tasks, self._platform.running, self._target, ())
            located: Located | Missing | None = None
            if isinstance(wanted, Wanted):
                located = await self._platform.locate(self._target, wanted.release, origin)
            return await self._observation(_Found(wanted, located), here, databases)

    async def _observation(
        self, found: _Found, here: Background[Running], databases: Background[Sequence[Database]]
    ) -> AppObservation:
        recorded = (await self._here.recorded.result())[self._app.name]
        expected = [found.wanted.release] if isinstance(found.wanted, Wanted) else []
        if isinstance(found.located, Located):
            expected = [found.located.release]
        if recorded.current is not None:
            expected.append(recorded.current.release)
        running = await self._confirmed(self._target, await here.result(), expected)
        return AppObservation(
            app=self._app.name,
            wanted=found.wanted,
            located=found.located,
            recorded=recorded,
            recorded_artifacts=await resolve_recorded(self._platform, self._target, recorded, running),
            running=running,
            databases=tuple(await databases.result()),
        )

    async def _guess(
        self, newest: Callable[[], Awaitable[Mapping[str, Deployment]]], origin: Target
    ) -> tuple[str, _Found]:
        """Look for the newest record's artifacts, before it is known whether it counts."""
        deployment = (await newest()).get(self._app.name)
        if deployment is None:
            return "", _Found(Missing("no record"))
        return deployment.id, await self._find(deployment, origin)

    async def _look_back(self, newest: Callable[[], Awaitable[Mapping[str, Deployment]]]) -> tuple[str, ...]:
        """As `out_of_reach`, by what the listings show, so that it adds no round trip."""
        wanted = (await newest()).get(self._app.name)
        if wanted is None:
            return ()
        records = (await self._here.earlier.result()).get(self._app.name, ())
        return await out_of_reach(self._platform, self._target, wanted.release.artifacts, records)

    async def _find(self, deployment: Deployment, origin: Target) -> _Found:
        try:
            pinned = await self._platform.pin(origin, deployment.release)
        except ArtifactMissing as error:
            return _Found(Missing(error.message, error.hint))
        release = replace(pinned, about=deployment.release.about)
        notes: tuple[str, ...] = ()
        if release.artifacts.keys() - deployment.release.artifacts.keys():
            named = ", ".join(f"{p} {a.short}" for p, a in release.artifacts.items())
            notes = (f"its record does not name every artifact; pinned now: {named}",)
        located = await self._platform.locate(self._target, release, origin)
        return _Found(Wanted(release, deployment, notes=notes), located)

    async def _databases(self) -> Sequence[Database]:
        service = self._adapters.databases_of(self._app)
        if not self._app.backup or service is None:
            return ()
        return await service.databases(self._target)

    async def _confirmed(self, target: Target, first: Running, expected: Sequence[Release]) -> Running:
        """What runs; asked again with what may run there if the platform could not tell without."""
        told_nothing = isinstance(first, Unknown) or first.compared_with is not None
        if told_nothing and expected:
            return await self._platform.running(target, expected)
        return first


async def resolve_recorded(
    platform: Platform, target: Target, recorded: Recorded, running: Running
) -> Artifacts:
    """The current record's artifacts; ids of other tools are resolved when they seem to differ from
    what runs, since they may be the digest of a manifest whose image is the one that runs; and when
    nobody can tell what runs, since then they are what an undo goes back to."""
    if recorded.current is None:
        return {}
    release = recorded.current.release
    by_others = any(isinstance(a, RecordedId) for a in release.artifacts.values())
    if isinstance(running, Unknown):
        if not by_others:
            return release.artifacts
    elif same_artifacts(release.artifacts, running.artifacts) or (
        recorded.current.promotion and not by_others
    ):
        return release.artifacts
    try:
        release = await platform.pin(target, release)
    except ArtifactMissing:
        return release.artifacts
    located = await platform.locate(target, release, None)
    return located.release.artifacts if isinstance(located, Located) else release.artifacts


def refuse_open_intents(environment: str, intents: Collection[Intent]) -> None:
    """Raises `Busy` when a promotion stands open in the environment."""
    for intent in intents:
        began = intent.created_at.strftime("%Y-%m-%d %H:%M UTC")
        who = f" by {intent.creator}" if intent.creator else ""
        raise Busy(
            f"A {intent.kind} stands open in {environment}: {intent.id}, begun {began}{who}.",
            hint=f"If it still runs, wait for it. If it was killed, run: liftlock resume {environment}",
        )


def _no_record(source: str, record: Recorded) -> Missing:
    if record.failed_since:
        failed = record.failed_since[0]
        return Missing(
            f"its newest deployment in {source}, {failed.release.short_commit}, failed, and none succeeded before",
            f"Deploy to {source} again first, or promote the other apps by name.",
        )
    return Missing(
        f"no deployment is recorded in {source}",
        f"Deploy to {source} first, or promote the other apps by name.",
    )


def _failed_in_source(record: Recorded) -> list[str]:
    return [
        f"{d.release.short_commit} is newer in {d.environment} and failed there: not promoted"
        for d in record.failed_since[:1]
    ]


def _source_drift(wanted: Wanted, running: Running, source: str) -> list[str]:
    if isinstance(running, Unknown):
        return [f"what runs in {source} could not be told ({running.reason})"]
    if any(isinstance(a, RecordedId) for a in wanted.release.artifacts.values()):
        return []
    if not same_artifacts(wanted.release.artifacts, running.artifacts):
        return [f"{source} itself runs something else than its record says; the record is promoted"]
    return []
