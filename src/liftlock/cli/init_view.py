"""What `liftlock init` found, for people and for machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from liftlock.cli.output import Output
from liftlock.commands.adopt.draft import Draft
from liftlock.commands.adopt.survey import Found


def report(output: Output, draft: Draft, found: Found, *, as_aside: bool) -> None:
    """Every decision with its source, what is guessed, and what was left out and why.

    `as_aside`: on standard error, because standard output is the file's.
    """
    lines = ["Found:"]
    width = max(len(what) for what, _ in draft.sources)
    lines += [f"  {what:<{width}}  {source}" for what, source in draft.sources]
    for title, entries in (
        ("Not asked:", found.untold),
        ("Left out:", [f"{what}: {why}" for what, why in draft.left_out]),
        (
            "For you to say:",
            [*draft.guesses, *(f"What {name} is: it has records alone." for name, _ in draft.commands)],
        ),
    ):
        if entries:
            lines += [title, *(f"  {entry}" for entry in entries)]
    for line in lines:
        if as_aside:
            sys.stderr.write(f"{line}\n")
        else:
            output.line(line, hang=4)


def document(path: Path, draft: Draft, found: Found, text: str, *, is_written: bool) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "file": str(path),
        "written": is_written,
        "text": text,
        "sources": [{"what": what, "source": source} for what, source in draft.sources],
        "guesses": list(draft.guesses),
        "left_out": [{"what": what, "why": why} for what, why in draft.left_out],
        "not_asked": dict(found.unasked),
    }
