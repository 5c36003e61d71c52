"""Writes the generated reference pages; `make docs` runs it, and a test fails when a page is stale.

Usage: python scripts/reference.py [FOLDER]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from liftlock.cli.app import app
from liftlock.cli.help import prepare
from liftlock.config import reference
from liftlock.web.api.openapi import document as openapi

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
COMMANDS = "commands.md"
OPENAPI = "openapi.json"
API = "api.md"
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
    described = json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"
    return {COMMANDS: commands(), API: api(), OPENAPI: described, **reference.documents()}


def api() -> str:
    """Every operation of the server's API, as Markdown."""
    lines = [_API]
    described = openapi()
    for tag in described["tags"]:
        lines += [f"## {tag['name'].capitalize()}", "", tag["description"], ""]
        lines += ["| operation | does | parameters |", "| --- | --- | --- |"]
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag["name"]]:
                    lines.append(_row(method, path, operation, described["components"]["schemas"]))
        lines.append("")
    return "\n".join(lines)


def _row(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in body:
        named += schemas[body["$ref"].rpartition("/")[2]]["properties"]
    said = " ".join(
        filter(None, (operation["summary"], operation.get("description", "").replace("\n\n", " ")))
    )
    return f"| `{method.upper()} {path}` | {said.replace('|', '&#124;')} | {', '.join(f'`{n}`' for n in named)} |"


_API = """\
# The API

<!-- Made by `make docs` from the operations in src/liftlock/web/api: change those. -->

What `liftlock serve` answers to programs, and to `--server URL`.
The whole description is [openapi.json](openapi.json); a server gives its own at `/api/v1/openapi.json`.

Send a token: `Authorization: Bearer TOKEN`.
A query's parameters and a body's fields that are not known are refused.
An error is a problem document (RFC 9457) with `detail`, what happened; `hint`, what to do next; and `exit_code`, as [the command line](exit-codes.md) would end.
Documents without a schema of their own are those of `--json`: [plans, results and history](plan.md), [status](status.md), [differences](diff.md), [events](events.md).
"""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
