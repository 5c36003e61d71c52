"""From the text of a `liftlock.toml` to a `Project`, with every mistake that is in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from liftlock.config.checks import check
from liftlock.config.draft import Draft
from liftlock.config.project import build, resolve_endpoints
from liftlock.config.schema import LEDGERS, PLATFORMS, AppTable, keys_of
from liftlock.config.values import ledger_scheme
from liftlock.errors import ConfigurationError, Problem
from liftlock.model import Project


def parse(
    text: str, path: Path, environ: Mapping[str, str], platforms: Collection[str] | None = None
) -> Project:
    """See `files.parse`."""
    try:
        draft = Draft(str(path), text, _values(text, str(path)))
        draft.take_out_secrets()
        added = frozenset(_added_platforms(draft.values) if platforms is None else platforms) - {*PLATFORMS}
        file = draft.validated(added)
        check(file, draft, added, _added_ledgers(file.project.ledger))
        endpoints = resolve_endpoints(file, environ, draft)
        draft.raise_if_wrong()
        return build(file, endpoints, added, str(path.parent))
    except RecursionError as error:
        raise ConfigurationError(str(path), [Problem("", "is nested too deeply.")]) from error


def _values(text: str, path: str) -> dict[str, Any]:
    """The TOML document. Raises `ConfigurationError` where its syntax is wrong."""
    try:
        text.encode()
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(path, [_syntax_problem(str(error), text)]) from error
    except ValueError as error:  # a number with thousands of digits, half a character
        raise ConfigurationError(path, [Problem("", "holds a value that cannot be read.")]) from error


_HINTS = {
    "Invalid value": "Strings stand in quotes.",
    "Cannot overwrite a value": "A key stands once in a table.",
    "Illegal character": "A string in simple quotes ends on its own line.",
}


def _syntax_problem(message: str, text: str) -> Problem:
    """The parser's message, with the place that it names as ours."""
    reason, _, place = message.partition(" (at ")
    found = re.search(r"line (\d+)", place)
    line = int(found[1]) if found else text.rstrip().count("\n") + 1
    hint = next((hint for start, hint in _HINTS.items() if reason.startswith(start)), "")
    return Problem("", f"is not TOML: {reason[:1].lower()}{reason[1:]}.", line, hint)


def _added_platforms(values: Mapping[str, Any]) -> Collection[str]:
    """Platforms that installed packages add; looked up only where an app has a key that is not ours."""
    apps = values.get("apps")
    own = {*keys_of(AppTable)}
    tables = [app for app in apps.values() if isinstance(app, dict)] if isinstance(apps, dict) else []
    if all(own.issuperset(app) for app in tables):
        return ()
    # A platform that is called like a key of ours would hide it.
    return [name for name in _installed("liftlock.platforms") if name not in own]


def _added_ledgers(ledger: str) -> Collection[str]:
    return () if ledger_scheme(ledger) in LEDGERS else _installed("liftlock.ledgers")


def _installed(group: str) -> list[str]:
    # Imported here: it costs as much as reading the whole file, and few projects need it.
    from importlib.metadata import entry_points

    return [entry.name for entry in entry_points(group=group)]
