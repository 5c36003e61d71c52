"""Writes the generated reference pages; `make docs` runs it, and a test fails when a page is stale.

Usage: python scripts/reference.py [FOLDER]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cyclopts import App

from liftlock.cli.app import app
from liftlock.cli.help import prepare
from liftlock.config import reference

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
COMMANDS = "commands.md"
NOTE = "<!-- Made by `make docs` from the commands in src/liftlock/cli: change those. -->"


def commands() -> str:
    """Every command and its options, as Markdown."""
    for command, names in every_command(app):
        prepare(command, names)
    page = app.generate_docs(output_format="markdown")
    page = re.sub(
        r"^liftlock ([\w ]+?) \1 ", r"liftlock \1 ", page, flags=re.MULTILINE
    )  # it names commands twice
    page = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands)", "", page, flags=re.DOTALL)
    page = page.replace("# liftlock\n", f"# Commands\n\n{NOTE}\n", 1)
    return page.rstrip() + "\n\nWhat a command ends with: [exit codes](exit-codes.md).\n"


def every_command(group: App, before: tuple[str, ...] = ()) -> Iterator[tuple[App, tuple[str, ...]]]:
    """All commands below a group, with their names as they are typed."""
    for name in group:
        if not name.startswith("-"):
            command, names = group[name], (*before, name)
            if command.default_command is None:
                yield from every_command(command, names)
            else:
                yield command, names


def documents() -> Mapping[str, str]:
    """The generated pages, by file name."""
    return {COMMANDS: commands(), **reference.documents()}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
