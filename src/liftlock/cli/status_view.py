"""Status and history, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from liftlock.cli.output import Output
from liftlock.commands.history import Entry
from liftlock.commands.status import Cell, Status
from liftlock.model import Intent, Known, Project, State, Unknown
from liftlock.planning.document import release_document, running_document
from liftlock.planning.observation import Drift


def show_status(
    output: Output, project: Project, status: Status, environments: Sequence[str], now: datetime
) -> None:
    """One screen: apps by environments; each cell says what is recorded, and where running differs."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("app", no_wrap=True)
    for environment in environments:
        table.add_column(environment, overflow="fold")
    for app in project.apps:
        cells = [_cell(status.cells[app, e], now, verbose=output.verbose) for e in environments]
        table.add_row(Text(app, style="bold"), *cells)
    output.fits(table)
    output.show(table)
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


def _cell(cell: Cell, now: datetime, *, verbose: bool) -> Text:
    current = cell.recorded.current
    text = Text()
    if current is None:
        text.append("no record", style="dim")
    else:
        text.append(current.release.short_commit, style="cyan")
        text.append(f" {age(now - current.created_at)}", style="dim")
        if verbose and current.creator:
            text.append(f" {current.creator}", style="dim")
    marker = cell.running.marker if isinstance(cell.running, Known) and cell.running.artifacts else ""
    if marker and marker not in text.plain:
        text.append(f" {marker}", style="dim")
    match cell.drift:
        case Drift.DRIFT:
            text.append(" ≠ drift", style="bold red")
        case Drift.UNKNOWN:
            text.append(" ? unknown", style="yellow")
        case Drift.UNRECORDED:
            text.append(" runs unrecorded", style="yellow")
        case Drift.NONE:
            pass
    if cell.behind:
        text.append(f" ← {cell.behind}", style="green")
    if cell.recorded.failed_since:
        text.append(f" ({cell.recorded.failed_since[0].release.short_commit} failed)", style="red")
    return text


def status_document(status: Status) -> dict[str, Any]:
    return {
        "apps": [
            {
                "app": c.app,
                "environment": c.environment,
                "recorded": (
                    {
                        **(release_document(c.recorded.current.release) or {}),
                        "record": c.recorded.current.id,
                        "at": c.recorded.current.created_at.isoformat(),
                        "by": c.recorded.current.creator,
                        "promotion": c.recorded.current.promotion or None,
                    }
                    if c.recorded.current
                    else None
                ),
                "running": running_document(c.running),
                "drift": c.drift.value,
                "difference": c.difference or None,
                "note": c.note or None,
                "behind": c.behind or None,
            }
            for c in status.cells.values()
        ],
        "open": {e: [i.id for i in intents] for e, intents in status.open_intents.items() if intents},
    }


def show_history(output: Output, entries: Sequence[Entry], now: datetime) -> None:
    """Newest first, a line each; in a terminal that is too narrow for it, a few lines each."""
    if not entries:
        output.line("Nothing is recorded yet.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in ("when", "environment", "what", "apps", "who", "outcome", "id"):
        table.add_column(column, no_wrap=column not in {"apps", "outcome"})
    rows = [_entry(entry, now) for entry in entries]
    for row in rows:
        table.add_row(*row)
    if output.fits(table):
        output.show(table)
        return
    for when, environment, what, apps, who, outcome, id_ in rows:
        output.show(
            Text("  ").join((Text(when.plain, style="bold"), environment, what, who, id_)),
            Padding(apps, (0, 0, 0, 4), expand=False),
            Padding(outcome, (0, 0, 0, 4), expand=False),
        )


def _entry(entry: Entry, now: datetime) -> tuple[Text, ...]:
    when = Text(f"{entry.at:%Y-%m-%d %H:%M} ({age(now - entry.at)})")
    if entry.intent is not None:
        intent = entry.intent
        what = f"{intent.kind} from {intent.source}" if intent.source else intent.kind.value
        by_commit: dict[str, list[str]] = {}
        for name, release in intent.releases.items():
            by_commit.setdefault(release.short_commit, []).append(name)
        apps = "; ".join(f"{commit} {' '.join(names)}" for commit, names in by_commit.items())
        return (
            when,
            Text(entry.environment),
            Text(what),
            Text(apps),
            Text(intent.creator),
            _outcome(intent),
            Text(intent.id, style="dim"),
        )
    if entry.deployment is None:
        raise ValueError("a history entry is an intent or a deployment")
    deployment = entry.deployment
    state = deployment.state.value if deployment.state else "no status"
    return (
        when,
        Text(entry.environment),
        Text("another tool"),
        Text(f"{deployment.app} {deployment.release.short_commit}"),
        Text(deployment.creator),
        Text(state, style="dim"),
        Text(deployment.id, style="dim"),
    )


def _outcome(intent: Intent) -> Text:
    styles: Mapping[State, str] = {State.SUCCESS: "green", State.FAILURE: "red", State.ERROR: "bold red"}
    words = "open" if intent.is_open else intent.state.value
    text = Text(words, style=styles.get(intent.state, "yellow"))
    if intent.state in {State.FAILURE, State.ERROR} and intent.description:
        text.append(f": {intent.description.removeprefix('failed: ')}", style="dim")
    for gate, why in intent.overrides.items():
        text.append(f"; {gate} overridden ({why})", style="yellow")
    return text


def history_document(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [_entry_document(entry) for entry in entries]


def _entry_document(entry: Entry) -> dict[str, Any]:
    if entry.intent is not None:
        intent = entry.intent
        return {
            "at": entry.at.isoformat(),
            "environment": entry.environment,
            "kind": intent.kind.value,
            "source": intent.source or None,
            "id": intent.id,
            "by": intent.creator,
            "outcome": "open" if intent.is_open else intent.state.value,
            "description": intent.description,
            "plan": intent.plan_digest,
            "overrides": dict(intent.overrides),
            "reverts": intent.reverts or None,
            "apps": {app: release_document(release) for app, release in intent.releases.items()},
        }
    deployment = entry.deployment
    if deployment is None:
        raise ValueError("a history entry is an intent or a deployment")
    return {
        "at": entry.at.isoformat(),
        "environment": entry.environment,
        "kind": "record of another tool",
        "id": deployment.id,
        "by": deployment.creator,
        "outcome": deployment.state.value if deployment.state else None,
        "apps": {deployment.app: release_document(deployment.release)},
    }


def age(span: timedelta) -> str:
    """How long ago, in one unit: 5 s, 12 min, 3 h, 4 d."""
    seconds = max(span.total_seconds(), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
