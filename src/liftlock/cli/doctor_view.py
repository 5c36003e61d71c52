"""What `doctor` found, for people and for machines."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from liftlock import __version__
from liftlock.cli.output import Output
from liftlock.commands.doctor import Examined, Health
from liftlock.model import Project
from liftlock.wording import printable

MARKS = {Health.WELL: ("✓", "green"), Health.NOTE: ("!", "yellow"), Health.MEND: ("✗", "bold red")}
_WIDEST = 60


def show(
    output: Output, project: Project, endpoints: Mapping[str, Sequence[str]], results: Sequence[Examined]
) -> None:
    """Group by group, a mark each, and under what has to be mended the exact thing to do."""
    output.line(_versions(project), hang=2)
    for address, keys in endpoints.items():
        output.line(
            f"Not the vendors' own endpoints, but {address} for {', '.join(keys)}", style="yellow", hang=2
        )
    for group, some in groupby(results, key=lambda one: one.group):
        output.line()
        output.line(group, style="bold")
        entries = [(_label(names), one) for names, one in _alike(list(some))]
        width = min(max(len(label) for label, _ in entries), _WIDEST)
        for label, one in entries:
            _show_one(output, label, one, width)
    output.line()
    mend = sum(one.health is Health.MEND for one in results)
    notes = sum(one.health is Health.NOTE for one in results)
    said = f"{mend} of {len(results)} have to be mended." if mend else f"All {len(results)} are well."
    output.line(
        said + (f" {notes} deserve{'s' if notes == 1 else ''} a look (!)." if notes else ""), style="bold"
    )


def document(
    project: Project, endpoints: Mapping[str, Sequence[str]], results: Sequence[Examined]
) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "liftlock": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "project": project.name,
        "endpoints": {key: address for address, keys in endpoints.items() for key in keys},
        "well": all(one.health is not Health.MEND for one in results),
        "probes": [
            {
                "group": one.group,
                "what": one.what,
                "health": one.health.value,
                "said": one.said,
                "hint": one.hint,
            }
            for one in results
        ],
    }


def _alike(results: Sequence[Examined]) -> Iterable[tuple[list[str], Examined]]:
    """What failed for one and the same reason is told once, with all the names of it."""
    told: dict[tuple[str, str], list[str]] = {}
    entries: list[tuple[list[str], Examined]] = []
    for one in results:
        names = told.get((one.said, one.hint)) if one.health is Health.MEND else None
        if names is not None:
            names.append(one.what)
            continue
        names = [one.what]
        entries.append((names, one))
        if one.health is Health.MEND:
            told[one.said, one.hint] = names
    return entries


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _show_one(output: Output, label: str, one: Examined, width: int) -> None:
    mark, style = MARKS[one.health]
    said = printable(one.said).rstrip(".") if "\n" not in one.said else one.said
    output.line(
        f"  {mark} {label:<{width}}  {said}",
        style=style if one.health is not Health.WELL else "",
        hang=width + 6,
    )
    if one.hint:
        output.line(f"      {one.hint}", hang=6)


def _versions(project: Project) -> str:
    apps = f"{len(project.apps)} apps in {len(project.environments)} environments"
    return (
        f"liftlock {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}; "
        f"{project.name}: {apps}, the configuration is valid"
    )
