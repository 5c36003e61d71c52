"""A project for tests, from the text of a `liftlock.toml`: checked as any user's is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from liftlock.config.files import FILE_NAME, parse
from liftlock.model import EMPTY, Project


def project_from(text: str, root: Path, environ: Mapping[str, str] = EMPTY) -> Project:
    """The project that a `liftlock.toml` in the folder `root` would mean; nothing is written there.

    Platforms and ledgers of installed packages are known, as ever. Raises `ConfigurationError`.
    """
    return parse(text, root / FILE_NAME, environ)
