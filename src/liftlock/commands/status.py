"""Status: what is recorded and what runs, every app in every environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from liftlock.commands.observe import resolve_recorded
from liftlock.errors import LiftlockError
from liftlock.model import (
    EMPTY,
    Artifacts,
    Between,
    Commit,
    Deployment,
    Intent,
    Known,
    Project,
    Recorded,
    Running,
    Unknown,
    same_artifacts,
)
from liftlock.planning.observation import Drift, drift_in_words, drift_of
from liftlock.ports import Adapters, EnvironmentRecords, HasPages
from liftlock.tasks import Background, all_at_once, together

LOOK_S = 5.0
"""What commits say is worth no longer a wait, once everything else is told."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where people can look at what a cell tells; "" where there is no page."""

    commit: str = ""
    pull_request: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One app in one environment."""

    app: str
    environment: str
    recorded: Recorded
    running: Running
    drift: Drift
    recorded_artifacts: Artifacts = field(default_factory=lambda: EMPTY)
    """The current record's artifacts, ids of other tools resolved where that was possible."""
    behind: str = ""
    """The first environment it is promoted from that holds other artifacts; "" when none does."""
    distance: Between | None = None
    """How far that environment's commit is from this one's; None where that is not known."""
    commit: Commit | None = None
    """What is known of the current record's commit."""
    links: Links = field(default_factory=Links)

    @property
    def difference(self) -> str:
        """How running differs from recorded, part by part; "" unless it has drifted."""
        if self.drift is not Drift.DRIFT:
            return ""
        return drift_in_words(self.recorded_artifacts, self.running, self.recorded.awake)

    @property
    def note(self) -> str:
        """What is no drift and still worth a look: a process type scaled to zero, a variable set by hand."""
        return self.running.note if isinstance(self.running, Known) and self.running.artifacts else ""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `liftlock status` shows."""

    cells: Mapping[tuple[str, str], Cell]
    open_intents: Mapping[str, Sequence[Intent]]

    @property
    def drifted(self) -> list[Cell]:
        return [c for c in self.cells.values() if c.drift is Drift.DRIFT]

    @property
    def unseen(self) -> list[Cell]:
        return [c for c in self.cells.values() if c.drift is Drift.UNKNOWN]


async def look_at(project: Project, adapters: Adapters, environments: Sequence[str]) -> Status:
    """Look at these environments. Needs read-only credentials and no lease.

    A target that cannot be looked at is shown as unknown; a ledger that cannot be read raises.
    """
    places = [(app, e) for e in environments for app in project.apps]
    async with all_at_once() as tasks:
        records = {e: adapters.ledger.read(e, list(project.apps)) for e in environments}
        intents = {e: Background(tasks, records[e].open_intents) for e in environments}
        begun = {
            (app, e): Background(tasks, _cell, project, adapters, app, e, records[e]) for app, e in places
        }
        # Beside the second look at the platforms: nothing of it needs what runs.
        recorded = {e: await records[e].recorded() for e in environments}
        told = Background(tasks, _commits, project, adapters, recorded)
    commits = await told.result()
    return Status(
        {place: commits.on(await begun[place].result()) for place in places},
        {e: await found.result() for e, found in intents.items()},
    )


async def _cell(
    project: Project, adapters: Adapters, app: str, environment: str, records: EnvironmentRecords
) -> Cell:
    target = project.apps[app].targets[environment]
    platform = adapters.platforms[target.platform]
    running: Running
    async with all_at_once() as tasks:
        looked = Background(tasks, _running, adapters, project, app, environment)
        recorded = (await records.recorded())[app]
        running = await looked.result()
    expected = [recorded.current.release] if recorded.current else []
    try:
        if expected and (isinstance(running, Unknown) or running.compared_with is not None):
            running = await platform.running(target, expected)
        artifacts = recorded.current.release.artifacts if recorded.current else {}
        if not isinstance(running, Unknown):
            artifacts = await resolve_recorded(platform, target, recorded, running)
    except LiftlockError as error:
        running, artifacts = Unknown(error.message), {}
    drift = drift_of(artifacts if recorded.current else None, running, recorded.awake)
    return Cell(app, environment, recorded, running, drift, artifacts)


async def _running(adapters: Adapters, project: Project, app: str, environment: str) -> Running:
    target = project.apps[app].targets[environment]
    try:
        return await adapters.platforms[target.platform].running(target, ())
    except LiftlockError as error:
        return Unknown(error.message)


Compared = tuple[str, str, str]
"""A repository, and two of its commits."""


@dataclass(frozen=True, slots=True)
class _Commits:
    """What is known of the commits in the records, and how far they are from each other."""

    project: Project
    adapters: Adapters
    recorded: Mapping[str, Mapping[str, Recorded]]
    """By environment and app."""
    told: Mapping[tuple[str, str], Commit | None]
    """By repository and sha, those of which the records say nothing."""
    distances: Mapping[Compared, Between | None]

    def ahead(self, app: str, environment: str) -> Deployment | None:
        """The current record of the first environment this one is promoted from that holds something else."""
        current = self.recorded[environment][app].current
        for source in self.project.environments[environment].promotes_from:
            theirs = self.recorded[source][app].current if source in self.recorded else None
            if theirs is None or (current is not None and theirs.created_at < current.created_at):
                continue  # it holds something older: nothing there is waiting to be lifted
            if current is None or not (
                same_artifacts(theirs.release.artifacts, current.release.artifacts)
                or theirs.release.commit == current.release.commit
            ):
                return theirs
        return None

    def compared(self, app: str, environment: str) -> Compared | None:
        """What has to be compared to say by how many commits it is behind."""
        current, ahead = self.recorded[environment][app].current, self.ahead(app, environment)
        if current is None or ahead is None or not (current.release.commit and ahead.release.commit):
            return None
        return self.project.apps[app].repository, current.release.commit, ahead.release.commit

    def on(self, cell: Cell) -> Cell:
        """The cell with all that is known of its commit."""
        place = cell.app, cell.environment
        app, current, ahead = self.project.apps[cell.app], cell.recorded.current, self.ahead(*place)
        platform, target = self.adapters.platforms[app.platform], app.targets[cell.environment]
        page = platform.page(target) if isinstance(platform, HasPages) else ""
        compared = self.compared(*place)
        seen = replace(
            cell,
            behind=ahead.environment if ahead else "",
            distance=self.distances.get(compared) if compared else None,
            links=Links(target=page),
        )
        if current is None:
            return seen
        sha, source_code = current.release.commit, self.adapters.source_code
        commit = current.release.about or self.told.get((app.repository, sha))
        number = commit.pull_request if commit else None
        links = Links(
            source_code.commit_url(app.repository, sha),
            source_code.pull_request_url(app.repository, number) if number else "",
            page,
        )
        return replace(seen, commit=commit, links=links)


async def _commits(
    project: Project, adapters: Adapters, recorded: Mapping[str, Mapping[str, Recorded]]
) -> _Commits:
    """What the records do not say of their commits, asked all at once: one round trip."""
    told: dict[tuple[str, str], Commit | None] = {}
    distances: dict[Compared, Between | None] = {}
    found = _Commits(project, adapters, recorded, told, distances)

    async def tell(key: tuple[str, str]) -> None:
        with suppress(LiftlockError):
            told[key] = await adapters.source_code.commit(*key)

    async def compare(key: Compared) -> None:
        with suppress(LiftlockError):
            distances[key] = await adapters.source_code.distance(*key)

    places = [(app, e) for e in recorded for app in project.apps]
    currents = [(app, recorded[e][app].current) for app, e in places]
    unsaid = {
        (project.apps[app].repository, current.release.commit)
        for app, current in currents
        if current is not None and current.release.commit and current.release.about is None
    }
    pairs = {compared for place in places if (compared := found.compared(*place)) is not None}
    with anyio.move_on_after(LOOK_S):
        await together(*[partial(tell, key) for key in unsaid], *[partial(compare, key) for key in pairs])
    return found
