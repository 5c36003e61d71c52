"""`--config github:OWNER/REPO[@REF]`: the project's file of another repository."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import anyio

from liftlock.config import FILE_NAME, parse
from liftlock.errors import NotFound, UsageError
from liftlock.model import Project
from liftlock.wiring import github_file

_REFERENCE = re.compile(
    r"github:(?P<repository>[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+)(@(?P<ref>[^\s@:~^?*\[\\]+))?"
)


@cache
def fetched(reference: str) -> Project:
    """The project of that file, fetched once. Paths in it start at this folder.

    Raises `UsageError` when there is no such file, else as `config.load`.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(
            f"--config {reference} does not name a repository.",
            hint="Write --config github:OWNER/REPO or --config github:OWNER/REPO@REF.",
        )
    repository, ref = match["repository"], match["ref"] or ""
    # Commands ask for the project while their event loop runs: another thread has another loop.
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            text = thread.submit(anyio.run, github_file, repository, ref, FILE_NAME, os.environ).result()
        except NotFound as error:
            raise UsageError(
                f"{repository} has no {FILE_NAME}{f' at {ref}' if ref else ''}, or the token may not read it.",
                hint="Check the name and the ref, and that the token may read that repository's contents.",
            ) from error
    project = parse(text, Path(f"{reference}/{FILE_NAME}"), os.environ)
    return replace(project, root=str(Path.cwd()))
