"""Status: what is recorded and what runs, every app in every environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from liftlock.commands.observe import resolve_recorded
from liftlock.errors import LiftlockError
from liftlock.model import (
    EMPTY,
    Artifacts,
    Intent,
    Known,
    Project,
    Recorded,
    Running,
    Unknown,
    same_artifacts,
)
from liftlock.planning.observation import Drift, drift_in_words, drift_of
from liftlock.ports import Adapters, EnvironmentRecords
from liftlock.tasks import Background, all_at_once


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

    @property
    def difference(self) -> str:
        """How running differs from recorded, part by part; "" unless it has drifted."""
        if self.drift is not Drift.DRIFT:
            return ""
        return drift_in_words(self.recorded_artifacts, self.running)

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
    cells: dict[tuple[str, str], Cell] = {}
    async with all_at_once() as tasks:
        records = {e: adapters.ledger.read(e, list(project.apps)) for e in environments}
        intents = {e: Background(tasks, records[e].open_intents) for e in environments}
        begun = {
            (app, e): Background(tasks, _cell, project, adapters, app, e, records[e])
            for e in environments
            for app in project.apps
        }
    for place, cell in begun.items():
        cells[place] = await cell.result()
    return Status(
        {place: _compared(project, cell, cells) for place, cell in cells.items()},
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
        artifacts = await resolve_recorded(platform, target, recorded, running)
    except LiftlockError as error:
        running, artifacts = Unknown(error.message), {}
    drift = drift_of(artifacts if recorded.current else None, running)
    return Cell(app, environment, recorded, running, drift, artifacts)


async def _running(adapters: Adapters, project: Project, app: str, environment: str) -> Running:
    target = project.apps[app].targets[environment]
    try:
        return await adapters.platforms[target.platform].running(target, ())
    except LiftlockError as error:
        return Unknown(error.message)


def _compared(project: Project, cell: Cell, cells: Mapping[tuple[str, str], Cell]) -> Cell:
    """The cell with the environment named that is ahead of it, if one is."""
    current = cell.recorded.current
    for source in project.environments[cell.environment].promotes_from:
        other = cells.get((cell.app, source))
        if other is None or other.recorded.current is None:
            continue
        if current is not None and other.recorded.current.created_at < current.created_at:
            continue  # it holds something older: nothing there is waiting to be lifted
        theirs = other.recorded.current.release
        differs = current is None or not (
            same_artifacts(theirs.artifacts, current.release.artifacts)
            or theirs.commit == current.release.commit
        )
        if differs:
            return replace(cell, behind=source)
    return cell
