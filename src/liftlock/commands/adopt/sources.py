"""Where the image of a process type seems to come from, by the files of a checkout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from liftlock.commands.adopt.checkout import Checkout
from liftlock.commands.adopt.draft import DraftProcess


def process_sources(checkout: Checkout, app: str, stem: str, types: Sequence[str]) -> list[DraftProcess]:
    """A source for every process type; a guess, told as one, where no file says it."""
    wanted = list(types) or list(checkout.process_types) or ["web"]
    return [_source(checkout, process, app, stem) for process in wanted]


def _source(checkout: Checkout, process: str, app: str, stem: str) -> DraftProcess:
    main = process in {"web", "release"}
    for key in (process, app, stem) if main else (process, f"{app}-{process}", f"{stem}-{process}"):
        if key in checkout.builds and (key != "web" or _single(checkout)):
            return DraftProcess(process, "dockerfile", checkout.builds[key])
        if key in checkout.images and key != "web":
            return DraftProcess(process, "image", checkout.images[key])
    named = [path for path in checkout.dockerfiles if _names(path, process, app, stem, main=main)]
    if len(named) == 1:
        return DraftProcess(process, "dockerfile", named[0])
    if _single(checkout) and checkout.dockerfiles:
        return DraftProcess(process, "dockerfile", checkout.dockerfiles[0])
    return DraftProcess(process, "image", f"{stem}-{process}".lower(), guessed=True)


def _single(checkout: Checkout) -> bool:
    """Whether the repository holds one thing to build."""
    return len(checkout.dockerfiles) == 1


def _names(path: str, process: str, app: str, stem: str, *, main: bool) -> bool:
    """Whether a Dockerfile's folder or name says that it is this process type's."""
    file = PurePosixPath(path)
    said = {_plain(part) for part in (*file.parent.parts, file.name.replace("Dockerfile", "").strip("."))} - {
        ""
    }
    wanted = {_plain(process)} if not main else {_plain(app), _plain(stem), _plain(stem.split("-")[-1])}
    return bool(said & wanted)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
