"""The board: apps by environments. What runs, since when, by whom, and what waits to be lifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.status import Cell, Status
from liftlock.model import Intent, Known, Project, Relation, Unknown, same_artifacts
from liftlock.planning.observation import Drift
from liftlock.web.access.people import Right, person_of
from liftlock.web.pages.render import page
from liftlock.web.site import site_of


class Kind(StrEnum):
    """What a mark is about; its colour, beside its words."""

    WAITING = "waiting"
    ALARM = "alarm"
    DOUBT = "doubt"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody may have to act on, in a few words; `more` says it whole."""

    kind: Kind
    words: str
    more: str = ""
    source: str = ""
    """The environment whose plan it leads to; "" for none."""


@dataclass(frozen=True, slots=True)
class Square:
    """One app in one environment, as the board shows it."""

    cell: Cell
    marks: tuple[Mark, ...]
    is_level: bool
    """Whether it has what the environment below has, or is the lowest."""

    @property
    def is_troubled(self) -> bool:
        return any(mark.kind in {Kind.ALARM, Kind.DOUBT} for mark in self.marks)

    @property
    def is_waiting(self) -> bool:
        return any(mark.kind is Kind.WAITING for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Level:
    """One environment, as the head of its column shows it."""

    name: str
    height: int
    """0 for the lowest, which nothing is promoted to."""
    waiting: Mapping[str, int]
    """By source, how many apps wait there to be lifted here."""
    open_intents: Sequence[Intent]
    drifted: int
    unseen: int
    apps: int


def marks(cell: Cell) -> tuple[Mark, ...]:
    """What is to be said of a cell beside its commit, the most pressing first."""
    found: list[Mark] = []
    match cell.drift:
        case Drift.DRIFT:
            found.append(Mark(Kind.ALARM, "drift", f"Running differs from recorded: {cell.difference}"))
        case Drift.UNKNOWN:
            why = (
                cell.running.reason if isinstance(cell.running, Unknown) else "its record cannot be compared"
            )
            found.append(Mark(Kind.DOUBT, "unknown", f"What runs could not be told: {why}"))
        case Drift.UNRECORDED:
            found.append(Mark(Kind.DOUBT, "unrecorded", "Something runs that no record names"))
        case Drift.NONE:
            pass
    if isinstance(cell.running, Known) and cell.running.healthy is False:
        found.append(Mark(Kind.ALARM, "unhealthy", "Its platform says that it is not healthy"))
    if cell.recorded.failed_since:
        failed = cell.recorded.failed_since[0].release.short_commit
        found.append(
            Mark(Kind.DOUBT, f"{failed} failed", "A newer record than the one shown never succeeded")
        )
    if cell.behind:
        found.append(Mark(Kind.WAITING, f"{how_far(cell)}from {cell.behind}", _waits(cell), cell.behind))
    if cell.note:
        found.append(Mark(Kind.QUIET, "note", cell.note))
    return tuple(found)


def how_far(cell: Cell) -> str:
    """By how many commits the other environment is ahead, "+4 ", where that is known and not nothing."""
    between = cell.distance
    if between is None:
        return ""
    said = [f"+{between.ahead}"] if between.ahead else []
    said += [f"-{between.behind}"] if between.behind else []
    return f"{' '.join(said)} " if said else ""


def _waits(cell: Cell) -> str:
    between = cell.distance
    if between is None or between.relation is Relation.SAME:
        return f"{cell.behind} holds another release; see the plan"
    many = f"{between.ahead} commit{'s' if between.ahead != 1 else ''}"
    back = f", and lacks {between.behind} of this one's" if between.behind else ""
    return f"{cell.behind} is {many} ahead{back}; see the plan"


def square(project: Project, status: Status, app: str, environment: str) -> Square:
    cell = status.cells[app, environment]
    sources = project.environments[environment].promotes_from
    current = cell.recorded.current
    below = [status.cells[app, source].recorded.current for source in sources[:1]]
    is_level = (
        current is not None
        and not cell.behind
        and (
            not below
            or (
                below[0] is not None and same_artifacts(below[0].release.artifacts, current.release.artifacts)
            )
        )
    )
    return Square(cell, marks(cell), is_level)


def levels(
    project: Project, status: Status, squares: Mapping[tuple[str, str], Square], seen: Sequence[str]
) -> list[Level]:
    found = []
    heights: dict[str, int] = {}
    for name, environment in project.environments.items():
        heights[name] = 1 + max((heights.get(source, 0) for source in environment.promotes_from), default=-1)
        if name not in seen:
            continue
        column = [squares[app, name] for app in project.apps]
        waiting = dict.fromkeys(environment.promotes_from, 0)
        for one in column:
            if one.cell.behind in waiting:
                waiting[one.cell.behind] += 1
        found.append(
            Level(
                name,
                heights[name],
                {source: many for source, many in waiting.items() if many},
                status.open_intents.get(name, ()),
                sum(one.cell.drift is Drift.DRIFT for one in column),
                sum(one.cell.drift is Drift.UNKNOWN for one in column),
                sum(one.cell.recorded.current is not None for one in column),
            )
        )
    return found


SHOWS = ("all", "waiting", "trouble")


def _fits(show: str, row: Sequence[Square]) -> bool:
    """Whether an app's row belongs to what is shown."""
    match show:
        case "waiting":
            return any(one.is_waiting for one in row)
        case "trouble":
            return any(one.is_troubled for one in row)
    return True


async def board(request: Request) -> Response:
    """`GET /`: the whole project on one page."""
    site = site_of(request)
    version = site.changes.version(("project",))
    view = await site.reading.board()
    show = request.query_params.get("show", "all")
    show = show if show in SHOWS else "all"
    rows: dict[str, list[Square]] = {}
    heads: list[Level] = []
    if view.value is not None:
        project = site.project
        seen = person_of(request).where(Right.SEE)
        squares = {
            (app, name): square(project, view.value, app, name) for app in project.apps for name in seen
        }
        heads = levels(project, view.value, squares, seen)
        every = {app: [squares[app, name] for name in seen] for app in project.apps}
        counts = {name: sum(_fits(name, row) for row in every.values()) for name in SHOWS}
        rows = {app: row for app, row in every.items() if _fits(show, row)}
    else:
        counts = dict.fromkeys(SHOWS, 0)
    return page(
        request,
        "board.html",
        version=version,
        reload_s=2 if view.is_first_look else 0,
        view=view,
        heads=heads,
        rows=rows,
        show=show,
        counts=counts,
    )
