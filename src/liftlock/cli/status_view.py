"""Status, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from liftlock.cli.output import Output
from liftlock.commands.status import Cell, Status
from liftlock.model import Known, Project, Unknown
from liftlock.planning.observation import Drift

NARROWEST_COLUMN = 30
"""With less room for each environment, apps by environments is no table but a list."""


def show_status(
    output: Output, project: Project, status: Status, environments: Sequence[str], now: datetime
) -> None:
    """One screen: apps by environments, as a table where the terminal is wide enough for every cell, else
    as a list; each cell says what is recorded, since when and by whom, and where running differs."""
    rows = {app: [_Shown.of(output, status.cells[app, e], now) for e in environments] for app in project.apps}
    column = _column(output.console.width, list(rows), len(environments))
    if column >= max(NARROWEST_COLUMN, *(cell.state.cell_len for row in rows.values() for cell in row)):
        output.show(_table(rows, environments, column))
    else:
        for line in _list(rows, environments, output.console.width):
            output.show(line)
    for environment, intents in status.open_intents.items():
        for intent in intents:
            began = age(now - intent.created_at)
            output.line(
                f"A {intent.kind} has stood open in {environment} for {began} ({intent.id}, {intent.creator})."
                f" If it was killed: liftlock resume {environment} --wait 12m",
                style="yellow",
                hang=2,
            )
    for cell in status.drifted:
        output.line(f"drift: {cell.app} in {cell.environment}: {cell.difference}", style="bold red", hang=2)
    for cell in status.unseen:
        reason = cell.running.reason if isinstance(cell.running, Unknown) else "its record cannot be compared"
        output.line(f"unknown: {cell.app} in {cell.environment}: {reason}", style="yellow", hang=2)
    for cell in status.cells.values():
        if cell.note:
            output.line(f"note: {cell.app} in {cell.environment}: {cell.note}", style="dim", hang=2)
    # In the middle of a promotion what runs was not verified yet: nobody should record it.
    drifted = sorted({c.environment for c in status.drifted if not status.open_intents.get(c.environment)})
    for environment in drifted:
        output.line(
            f"Write what really runs there into the ledger with: liftlock record {environment}", style="dim"
        )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A cell as two lines: what is recorded, and how that stands."""

    commit: Text
    subject: str
    state: Text

    @classmethod
    def of(cls, output: Output, cell: Cell, now: datetime) -> _Shown:
        current = cell.recorded.current
        if current is None:
            return cls(Text("no record", style="dim"), "", Text(" ").join(_marks(cell)))
        about, links = cell.commit, cell.links
        commit = output.linked(current.release.short_commit, links.commit, "cyan")
        subject = about.subject if about else ""
        if about and about.pull_request:
            number = f"#{about.pull_request}"
            subject = subject.removesuffix(f"({number})").rstrip()
            commit = Text(" ").join((commit, output.linked(number, links.pull_request, "cyan")))
        since = f"{age(now - current.created_at)} {current.creator}".rstrip()
        parts = [*_marks(cell), output.linked(since, links.target, "dim")]
        if output.verbose and isinstance(cell.running, Known):
            parts.append(Text(cell.running.marker, style="dim"))
        if output.verbose and about and about.author:
            old = f", {age(now - about.committed_at)} old" if about.committed_at else ""
            parts.append(Text(f"by {about.author}{old}", style="dim"))
        return cls(commit, subject, Text("  ").join(part for part in parts if part.plain))

    def first(self, width: int, *, pad: bool = False) -> Text:
        """The commit's line, the subject cut to what there is room for."""
        line = self.commit.copy()
        if self.subject:
            line.append(f" {self.subject}")
        line.truncate(width, overflow="ellipsis", pad=pad)
        return line


def _marks(cell: Cell) -> list[Text]:
    """What somebody may have to act on. Each says it in words, whatever its colour."""
    marks = []
    match cell.drift:
        case Drift.DRIFT:
            marks.append(Text("≠ drift", style="bold red"))
        case Drift.UNKNOWN:
            marks.append(Text("? unknown", style="yellow"))
        case Drift.UNRECORDED:
            marks.append(Text("runs unrecorded", style="yellow"))
        case Drift.NONE:
            pass
    if cell.behind:
        marks.append(Text(f"← {cell.behind}{_how_far(cell)}", style="green"))
    if cell.recorded.failed_since:
        failed = cell.recorded.failed_since[0].release.short_commit
        marks.append(Text(f"({failed} failed)", style="red"))
    return marks


def _how_far(cell: Cell) -> str:
    """By how many commits the other environment is ahead, where that is known."""
    between = cell.distance
    if between is None:
        return ""
    said = [f"+{between.ahead}"] if between.ahead else []
    said += [f"-{between.behind}"] if between.behind else []
    return f" {' '.join(said)}" if said else ""


def _column(width: int, apps: Sequence[str], environments: int) -> int:
    """How wide each environment's column can be."""
    return (width - max(cell_len(app) for app in apps) - 2 * environments) // environments


def _table(rows: Mapping[str, Sequence[_Shown]], environments: Sequence[str], column: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("app", no_wrap=True)
    for environment in environments:
        table.add_column(environment, no_wrap=True, max_width=column)
    for app, cells in rows.items():
        lines = [Text("\n").join(part for part in (c.first(column), c.state) if part.plain) for c in cells]
        table.add_row(Text(app, style="bold"), *lines)
    return table


def _list(
    rows: Mapping[str, Sequence[_Shown]], environments: Sequence[str], width: int
) -> Iterator[RenderableType]:
    """An app's name, and a line for each environment below it; two where the terminal is too narrow."""
    hang = max(map(cell_len, environments)) + 4
    cells = [cell for row in rows.values() for cell in row]
    room = width - hang - max(cell.state.cell_len for cell in cells) - 2
    room = min(room, max(cell.first(width).cell_len for cell in cells))
    for app, row in rows.items():
        yield Text(app, style="bold")
        for environment, cell in zip(environments, row, strict=True):
            line = Text(f"  {environment:<{hang - 2}}")
            if room >= NARROWEST_COLUMN:
                yield line + cell.first(room, pad=True) + Text("  ") + cell.state
                continue
            yield line + cell.first(max(width - hang, 10))
            if cell.state.plain:
                yield Padding(cell.state, (0, 0, 0, hang), expand=False)


def age(span: timedelta) -> str:
    """How long ago, in one unit: 5 s, 12 min, 3 h, 4 d."""
    seconds = max(span.total_seconds(), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
