"""The reference page and the JSON Schema of `liftlock.toml`, both made from its one description.

`python -m liftlock.config.reference [FOLDER]` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from liftlock.config.endpoints import ENDPOINTS
from liftlock.config.schema import PLATFORMS, SECTIONS, AppTable, File, ProcessTable
from liftlock.config.table import Table

PAGE = "configuration.md"
SCHEMA = "liftlock.schema.json"


@cache
def example() -> str:
    """A whole `liftlock.toml`: eight apps of three kinds, in three repositories."""
    return files("liftlock.config").joinpath("example.toml").read_text("utf-8")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    schema: dict[str, Any] = _for_toml(File.model_json_schema())
    tables = schema["$defs"]
    tables[AppTable.__name__]["oneOf"] = [{"required": [platform]} for platform in PLATFORMS]
    tables[ProcessTable.__name__]["oneOf"] = [
        {"required": ["image"]},
        {"required": ["dockerfile"]},
        {"required": ["directory", "command"]},
    ]
    for vendor, (variable, default) in ENDPOINTS.items():
        endpoint = tables["EndpointsTable"]["properties"][vendor]
        endpoint["default"] = default
        endpoint["description"] += f" The variable {variable} wins over it."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _for_toml(value: Any) -> Any:
    """`value` without what TOML cannot say (null) and what means nothing to a reader (an empty default)."""
    if isinstance(value, list):
        return [_for_toml(each) for each in value]
    if not isinstance(value, dict):
        return value
    choices = [each for each in value.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1 and len(value["anyOf"]) == 2:
        value = {**{key: each for key, each in value.items() if key != "anyOf"}, **choices[0]}
    return {
        key: _for_toml(each)
        for key, each in value.items()
        if not (key == "default" and each in ("", None, [], {}))
        and not (key == "title" and isinstance(each, str) and each != File.model_config.get("title"))
    }


def page() -> str:
    """The reference page, in Markdown."""
    parts = [_HEAD, f"```toml\n{example().strip()}\n```\n"]
    tables = json_schema()["$defs"]
    for place, table in SECTIONS.items():
        parts.append(_section(place, table, tables[table.__name__]))
    return "\n".join([*parts, _TAIL.replace("{{endpoints}}", _endpoints())])


def _section(place: tuple[str, ...], table: type[Table], schema: Mapping[str, Any]) -> str:
    lines = [f"## `[{'.'.join(place)}]`", "", *schema["description"].split("\n"), ""]
    lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, described in schema["properties"].items():
        default = "required" if key in schema.get("required", ()) else _default(described)
        cells = (f"`{key}`", _kind(described), default, f"{described['description']} {_examples(described)}")
        lines.append(f"| {' | '.join(cell.strip().replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _default(described: Mapping[str, Any]) -> str:
    return f"`{_toml(described['default'])}`" if "default" in described else ""


def _examples(described: Mapping[str, Any]) -> str:
    examples = [each for each in described.get("examples", ()) if each != described.get("default")]
    shown = ", ".join(f"`{_toml(each)}`" for each in examples)
    return f"As in {shown}." if shown else ""


def _kind(described: Mapping[str, Any]) -> str:
    if "enum" in described:
        return " or ".join(f"`{_toml(each)}`" for each in described["enum"])
    if "anyOf" in described:
        return " or ".join(_kind(each) for each in described["anyOf"])
    if "$ref" in described or described["type"] == "object":
        return "table"
    if described["type"] == "array":
        return f"list of {_kind(described['items'])}s"
    kinds = {"string": "string", "integer": "whole number", "boolean": "true or false"}
    return kinds[described["type"]]


def _toml(value: Any) -> str:
    """`value` as TOML writes it on one line."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


_HEAD = """\
# Configuration

<!-- Made by `python -m liftlock.config.reference` from src/liftlock/config/schema.py: change that. -->

A project is one `liftlock.toml`.
liftlock takes the one in the current folder or the nearest folder above it; `--config FILE` names another.
Unknown keys are mistakes, and every mistake of a file is told at once, with its line.

Editors complete and check the file with [liftlock.schema.json](liftlock.schema.json):
put `#:schema PATH/liftlock.schema.json` on its first line.

## Example
"""

_TAIL = """\
## Names and placeholders

`{env}` stands for the environment's own name.
In `firebase = "…"` it stands for the name that the environment gives as `firebase`.
`{github}` and `{firebase}` name the vendors' explicitly, anywhere.
A table names each environment's target itself: `firebase = { dev = "one", production = "two" }`.
In commands, `${NAME}`, `{{name}}` and `{}` are left as they are.

Names of environments and apps have letters, digits, `-` and `_`, and begin with a letter or digit.
No two apps may share a target or the names of their records.

## Durations and windows

A duration is a whole number and `ms`, `s`, `m`, `h` or `d`: `"30s"`.

A window is days, hours and an IANA time zone: `"Mon-Thu 09:00-16:00 America/Santiago"`.
Days are one or a range, from `Mon` to `Sun`; a range may go round the week (`Fri-Mon`).
A window that ends before it begins goes on over midnight, into the next day.
`;` separates several windows, each with its own zone.

## Secrets

No secret stands in the file: `env:NAME` reads an environment variable, `keyring:NAME` the keyring.
A value that looks like a credential is refused, and no message shows it.

## Endpoints

{{endpoints}}

An environment variable wins over the file.
Plain `http` is refused except to loopback.
"""


def _endpoints() -> str:
    rows = [f"| `{key}` | `{variable}` | `{default}` |" for key, (variable, default) in ENDPOINTS.items()]
    return "\n".join(["| key | variable | default |", "| --- | --- | --- |", *rows])


def documents() -> Mapping[str, str]:
    """The generated documents, by file name."""
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    return {PAGE: page(), SCHEMA: f"{schema}\n"}


def main() -> None:
    """Write the documents into the folder that is named, else into `docs/reference`."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
