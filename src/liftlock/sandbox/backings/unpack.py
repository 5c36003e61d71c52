"""An image's layers, unpacked into a folder: nothing is ever written outside of it.

Layers come from whoever may push, so a member's name is resolved inside the root as a container's
kernel would resolve it: `..` stops at the root, links on the way are followed within it. Device
files are left out, set-user-id bits are taken off. Source: OCI image specification, "layer.md".
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_LINKS = 40


class UnpackError(Exception):
    """A layer is not a tar archive, or its links go in circles."""


def unpack(layers: Sequence[IO[bytes]], root: Path) -> None:
    """Unpack layers, lowest first, into the new folder `root`. It appears whole or not at all."""
    partial = root.with_name(root.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for layer in layers:
        try:
            with tarfile.open(fileobj=layer, mode="r:*") as archive:
                members = archive.getmembers()
                _remove_whited_out(members, partial)
                for member in members:
                    _extract(archive, member, partial)
        except (tarfile.TarError, EOFError) as error:
            raise UnpackError(f"a layer of the image is not a tar archive: {error}") from error
    partial.rename(root)


def inside(root: Path, name: str, *, follow_last: bool = False) -> Path:
    """Where `name` lies under `root`, with every link on the way taken as seen from inside.

    The last part is not followed unless asked for. Raises `UnpackError` for links in circles.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    done: list[str] = []
    hops = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        path = root.joinpath(*done, part)
        if path.is_symlink() and (parts or follow_last):
            hops += 1
            if hops > _MOST_LINKS:
                raise UnpackError(f"too many links on the way to {name!r}")
            target = os.readlink(path)  # noqa: PTH115  the text, not a path
            if target.startswith("/"):
                done = []
            parts = [one for one in target.split("/") if one not in ("", ".")] + parts
        else:
            done.append(part)
    return root.joinpath(*done)


def _remove_whited_out(members: Sequence[tarfile.TarInfo], root: Path) -> None:
    """Take away what this layer hides of the lower ones; before anything of it is written."""
    for member in members:
        folder, name = posixpath.split(posixpath.normpath("/" + member.name))
        if name == _OPAQUE:
            hidden = inside(root, folder, follow_last=True)
            for path in list(hidden.iterdir()) if hidden.is_dir() else []:
                _remove(path)
        elif name.startswith(_WHITEOUT) and name.removeprefix(_WHITEOUT) not in ("", ".", ".."):
            _remove(inside(root, posixpath.join(folder, name.removeprefix(_WHITEOUT))))


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = posixpath.normpath("/" + member.name)
    if posixpath.basename(name).startswith(_WHITEOUT):
        return
    path = inside(root, name)
    if path == root:
        return
    _make_parents(path.parent, root)
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
        path.chmod(member.mode & 0o777 | 0o700)
    elif member.isfile():
        content = archive.extractfile(member)
        _remove(path)
        with path.open("wb") as file:
            if content is not None:
                shutil.copyfileobj(content, file)
        path.chmod(member.mode & 0o777 | 0o600)
    elif member.issym():
        _remove(path)
        path.symlink_to(_relative(name, member.linkname))
    elif member.islnk():
        source = inside(root, member.linkname)
        if source != path and source.is_file() and not source.is_symlink():
            _remove(path)
            path.hardlink_to(source)


def _relative(name: str, target: str) -> str:
    """The link's target as seen from inside, written so that it means the same from outside."""
    folder = posixpath.dirname(name)
    return posixpath.relpath(posixpath.normpath(posixpath.join("/", folder, target)), folder)


def _make_parents(folder: Path, root: Path) -> None:
    if folder != root and not folder.is_dir():
        _make_parents(folder.parent, root)
        _remove(folder)
        folder.mkdir()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
