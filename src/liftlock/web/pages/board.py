"""The board: apps by environments. What runs, since when, by whom, and what waits to be lifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.status import Cell, Status
from liftlock.model import Intent, Known, Project, Relation, Unknown, same_artifacts
from liftlock.planning.observation import Drift
from liftlock.web.access.people import Right, person_of
from liftlock.web.pages.render import fragment, page
from liftlock.web.site import Site, site_of


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


@dataclass(frozen=True, slots=True)
class Drawn:
    """The whole board, for people who see the same environments."""

    heads: Sequence[Level]
    rows: Mapping[str, Sequence[Square]]
    counts: Mapping[str, int]


def _drawn(site: Site, status: Status, seen: tuple[str, ...]) -> Drawn:
    """The board as it was seen, made once for every look."""
    kept = site.boards.get(seen)
    if kept is not None and kept[0] is status:
        known: Drawn = kept[1]
        return known
    project = site.project
    squares = {(app, name): square(project, status, app, name) for app in project.apps for name in seen}
    rows = {app: [squares[app, name] for name in seen] for app in project.apps}
    counts = {name: sum(_fits(name, row) for row in rows.values()) for name in SHOWS}
    made = Drawn(levels(project, status, squares, seen), rows, counts)
    site.boards[seen] = status, made
    return made


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
    drawn: Drawn | None = None
    table = Markup("")
    if view.value is not None:
        seen = tuple(person_of(request).where(Right.SEE))
        drawn = _drawn(site, view.value, seen)
        made = drawn
        table = fragment(
            request,
            "board_table.html",
            (show, seen),
            view.value,
            heads=lambda: made.heads,
            rows=lambda: {app: row for app, row in made.rows.items() if _fits(show, row)},
            show=lambda: show,
        )
    return page(
        request,
        "board.html",
        version=version,
        reload_s=2 if view.is_first_look else 0,
        view=view,
        heads=drawn.heads if drawn else (),
        table=table,
        show=show,
        counts=drawn.counts if drawn else dict.fromkeys(SHOWS, 0),
    )
