"""Bundles: what a process type runs, kept in a folder under the sum of its own bytes.

    STORE/SUM/manifest.json     the command, and every file with its sum
    STORE/SUM/files/            the files
    STORE/SUM/run               runs the command among them

The sum is that of the manifest, so a bundle that was changed is found out by summing it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liftlock.errors import ArtifactMissing, UsageError
from liftlock.model import BundleId

SHORT = 12
"""So many digits of a sum name a bundle in supervisord; the store knows the rest."""


class Store:
    """A folder of bundles. What is in it is never changed, only added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, source: Path, command: Sequence[str]) -> BundleId:
        """Copy a folder into the store; the same files and command are the same bundle."""
        if not source.is_dir():
            raise UsageError(
                f"There is no folder {source} to release.", hint="Mend `directory`, or build it first."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            shutil.copytree(source, made / "files", symlinks=True)
            manifest = json.dumps(_manifest(made / "files", command), sort_keys=True).encode()
            (made / "manifest.json").write_bytes(manifest)
            (made / "run").write_text(f'#!/bin/sh\ncd "${{0%/*}}/files" && exec {shlex.join(command)}\n')
            (made / "run").chmod(0o755)
            made.chmod(0o755)
            bundle = BundleId(f"sha256:{hashlib.sha256(manifest).hexdigest()}")
            if not self.path(bundle).exists():
                made.rename(self.path(bundle))
            return bundle
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def path(self, bundle: BundleId) -> Path:
        return self.folder / bundle.value.removeprefix("sha256:")

    def holds(self, bundle: BundleId) -> bool:
        return (self.path(bundle) / "manifest.json").is_file()

    def prove(self, bundle: BundleId) -> None:
        """Sum the bundle again. Raises `ArtifactMissing` where it is not what it was."""
        place = self.path(bundle)
        try:
            manifest = (place / "manifest.json").read_bytes()
            is_whole = bundle.value == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
            told = json.loads(manifest)
            is_whole = is_whole and told == _manifest(place / "files", told["command"])
        except (OSError, ValueError, KeyError):
            is_whole = False
        if not is_whole:
            raise ArtifactMissing(
                f"The bundle {bundle.short} in {self.folder} is not what was released before.",
                hint=f"Somebody changed or removed files in {place}: remove it, and deploy the commit again.",
            )

    def find(self, short: str) -> BundleId | None:
        """The bundle whose sum begins so; None where there is none, or more than one."""
        found = [path.name for path in self.folder.glob(f"{short}*") if len(path.name) == 64]
        return BundleId(f"sha256:{found[0]}") if len(found) == 1 else None


def _manifest(folder: Path, command: Sequence[str]) -> dict[str, Any]:
    files = {
        str(path.relative_to(folder)): _told(path)
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    return {"command": list(command), "files": files}


def _told(path: Path) -> list[str]:
    if path.is_symlink():
        return ["link", str(path.readlink())]
    with path.open("rb") as file:
        kind = "program" if os.access(path, os.X_OK) else "file"
        return [kind, hashlib.file_digest(file, "sha256").hexdigest()]
