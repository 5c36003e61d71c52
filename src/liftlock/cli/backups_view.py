"""Backups for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liftlock.cli.output import Output

if TYPE_CHECKING:
    from liftlock.commands.backup_files import Verdict
    from liftlock.commands.backups import Kept, Listed

SHOWN = 10
"""How many tables with other numbers of rows are shown without -v."""


def told_restore(kept: Kept) -> str:
    """What a restore is about to do, for whoever has to agree."""
    from liftlock import wording

    taken = f"{kept.backup.started_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"Restores {kept.used.whose} from {kept.backup.id} "
        f"({wording.size(kept.backup.size_bytes)}, taken {taken})."
    )


def show_list(output: Output, environment: str, listed: Sequence[Listed], what: str = "") -> None:
    """A table of backups; `what` says what becomes of them."""
    from rich.table import Table

    from liftlock import wording

    if not listed:
        output.line(f"There is no backup in {environment}{f' {what}' if what else ''}.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in ("id", "apps", "size", "taken", "took"):
        table.add_column(column, no_wrap=True, justify="right" if column == "size" else "left")
    for one in listed:
        took = wording.duration((one.backup.finished_at - one.backup.started_at).total_seconds())
        table.add_row(
            one.backup.id,
            ", ".join(one.apps),
            wording.size(one.backup.size_bytes),
            f"{one.backup.started_at:%Y-%m-%d %H:%M:%S} UTC",
            took,
        )
    if what:
        output.line(f"{len(listed)} {what}:")
    output.show(table)


def show_verdict(output: Output, verdict: Verdict, *, passed: bool) -> None:
    """What a backup holds, and how that differs from its database."""
    backup = verdict.kept.backup
    rows = sum(verdict.tables.values())
    output.line(
        f"{backup.id} of {verdict.kept.used.whose} can be restored on {verdict.where}: "
        f"{len(verdict.tables)} tables, {rows:,} rows."
    )
    if verdict.source is None:
        output.line(f"Its database was not looked at: {verdict.unreached}", style="yellow")
        for name, count in verdict.tables.items():
            output.line(f"  {name}: {count:,}")
        return
    for name in verdict.missing:
        output.line(
            f"  {name} is missing: the database has it, with {verdict.source[name]:,} rows", style="red"
        )
    for name in verdict.emptied:
        output.line(f"  {name} is empty: the database has {verdict.source[name]:,} rows", style="red")
    others = [name for name in verdict.differing if name not in verdict.emptied]
    for name in others[: None if output.verbose else SHOWN]:
        now = f"{verdict.source[name]:,} now" if name in verdict.source else "no longer there"
        output.line(f"  {name}: {verdict.tables[name]:,} rows, {now}", style="yellow")
    if len(others) > SHOWN and not output.verbose:
        output.line(f"  and {len(others) - SHOWN} tables more (-v shows them)")
    if not verdict.differing and not verdict.missing:
        output.line("Its tables and rows are those of the database.", style="green")
    elif not passed:
        output.line("It does not hold what the database does.", style="bold red")
