"""Files that were checked before, as the projects that they mean.

Checking a file takes longer than all else at the start of a command, and it is the same file nearly
every time. A project is kept by everything that it depends on: the file's text and folder, the
variables that change it, and liftlock's own code. Whatever does not fit in any way is checked anew.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import liftlock
from liftlock import model
from liftlock.config.endpoints import ENDPOINTS
from liftlock.model import Project

MOST = 32
"""How many projects are kept; the oldest go."""
_WRITTEN_BY_OTHERS = 0o022


def key(text: str, folder: str, environ: Mapping[str, str]) -> str:
    """A name for everything that decides what project a text means."""
    endpoints = [environ.get(variable, "") for variable, _ in ENDPOINTS.values()]
    parts = (liftlock.__version__, sys.version, _code(), folder, *endpoints, text)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def recall(name: str, environ: Mapping[str, str]) -> Project | None:
    """The project that was kept under a name; None when there is none, or it is not surely our own.

    Neither the file nor its folder may be another's, or writable by another, and it can name nothing
    but the model's classes: it cannot run code. Who can write it as this user can change liftlock itself.
    """
    folder = _folder(environ)
    try:
        if folder is None or not _is_ours(folder.lstat()):
            return None
        with os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            if not _is_ours(os.fstat(file.fileno())):
                return None
            project = _Unpickler(file).load()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the file is checked anew
        return None
    return project if isinstance(project, Project) else None


def keep(name: str, project: Project, environ: Mapping[str, str]) -> None:
    """Keep a project for the next command. Where that does not work, nothing is lost."""
    from tempfile import mkstemp

    folder = _folder(environ)
    if folder is None:
        return
    content = io.BytesIO()
    _Pickler(content, protocol=pickle.HIGHEST_PROTOCOL).dump(project)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, temporary = mkstemp(dir=folder)
        with os.fdopen(number, "wb") as file:
            file.write(content.getvalue())
        Path(temporary).replace(folder / name)
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[MOST:]:
            path.unlink(missing_ok=True)


class _Pickler(pickle.Pickler):
    """Knows read-only mappings too, such as the model's empty one."""

    def reducer_override(self, value: Any) -> Any:
        return (MappingProxyType, (dict(value),)) if isinstance(value, MappingProxyType) else NotImplemented


class _Unpickler(pickle.Unpickler):
    """Knows the model's own classes and no other name: no function can be called."""

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(model, name, None) if module == model.__name__ else None
        if isinstance(found, type) and found.__module__ == model.__name__:
            return found
        if (module, name) == ("builtins", "mappingproxy"):
            return MappingProxyType
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a project")


def _folder(environ: Mapping[str, str]) -> Path | None:
    """`$XDG_CACHE_HOME/liftlock/projects`, else below HOME; a relative path counts as none."""
    for base in (Path(environ.get("XDG_CACHE_HOME", "")), Path(environ.get("HOME", ""), ".cache")):
        if base.is_absolute():
            return base / "liftlock" / "projects"
    return None


def _is_ours(found: os.stat_result) -> bool:
    is_safe = not found.st_mode & _WRITTEN_BY_OTHERS
    return is_safe and (not hasattr(os, "geteuid") or found.st_uid == os.geteuid())


def _code() -> str:
    """When the code that makes projects changed last: for those who change it."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), here.parent / "model.py"]
    return " ".join(f"{path.name}{path.stat().st_mtime_ns}" for path in sorted(files))
