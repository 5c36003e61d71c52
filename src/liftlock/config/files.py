"""Finding and reading `liftlock.toml`. What was read and is still the same is not checked again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from liftlock.config.remembered import keep, key, recall
from liftlock.config.values import ledger_scheme
from liftlock.errors import ConfigurationError, Problem
from liftlock.model import Project

FILE_NAME = "liftlock.toml"


_NO_FILE = "Go to the project's folder, or name its file: --config FILE. `liftlock init` writes a first one."


def find(start: Path) -> Path:
    """The `liftlock.toml` in `start` or the nearest folder above it. Raises `ConfigurationError`."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigurationError(
        str(start),
        [Problem("", f"there is no {FILE_NAME} here or in a folder above.")],
        hint=_NO_FILE,
    )


def load(path: Path, environ: Mapping[str, str], platforms: Collection[str] | None = None) -> Project:
    """The project that the file at `path` describes. Raises `ConfigurationError` with every mistake.

    `environ` gives the endpoints' variables; `platforms` are the names of the platforms that
    there are (when None: liftlock's own, and those that installed packages add).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            str(path),
            [Problem("", f"cannot be read: {reason}.")],
            hint=_NO_FILE,
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(str(path), [Problem("", "is not UTF-8 text.", line)]) from error
    if platforms is not None:
        return parse(text, path, environ, platforms)
    place = key(text, str(path.parent), environ)
    known = recall(place, environ)
    if known is None:
        known = parse(text, path, environ)
        if not _is_added_to(known):
            keep(place, known, environ)
    return known


def parse(
    text: str, path: Path, environ: Mapping[str, str], platforms: Collection[str] | None = None
) -> Project:
    """As `load`, from a text; `path` is what messages call it, and its folder becomes the project's root."""
    from liftlock.config import parsing  # checking takes ten times as long to import as all else here

    return parsing.parse(text, path, environ, platforms)


def _is_added_to(project: Project) -> bool:
    """Whether installed packages had a say: another time there may be others."""
    from liftlock.config.schema import LEDGERS, PLATFORMS

    return any(app.platform not in PLATFORMS for app in project.apps.values()) or (
        ledger_scheme(project.ledger) not in LEDGERS
    )
