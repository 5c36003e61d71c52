"""Images from plain directories, without a container engine, reproducibly.

The same files give the same image id on any machine: names are sorted, owners and times are
zero, modes are 755 and 644, and the config says nothing of where or when it was built. (The
manifest's digest follows the gzip implementation as well; the image id does not.)
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from liftlock.errors import LiftlockError, UsageError
from liftlock.registry.compression import fast_gzip
from liftlock.registry.layers import LayerCache
from liftlock.registry.local_images import LocalImage, packed_image

WORK_DIRECTORY = "app"
EPOCH = "1970-01-01T00:00:00Z"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEFT_OUT = frozenset({".git", "__pycache__", ".DS_Store"})
"""What other programs leave in a directory: it would make the same files another image."""


def build_image(directory: Path, command: Sequence[str], cache: LayerCache) -> LocalImage:
    """Build the image of `directory`, which runs `command` in it; the layer is kept in `cache`.

    Blocks: run it in a thread. Raises `UsageError` for a directory that cannot be an image.
    """
    if not directory.is_dir():
        raise UsageError(
            f"{directory} is not a directory, so no image can be built from it.",
            hint="Check `directory` in the app's processes: it is relative to the repository's root.",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="liftlock-image-") as folder:
            layer = Path(folder) / "layer.tar.gz"
            with layer.open("wb") as file:
                diff_id, digest = _write_layer(directory, file)
            packed = cache.adopt(diff_id, digest, layer)
    except OSError as error:
        raise LiftlockError(
            f"No image can be built from {directory}: {error.strerror} ({error.filename}).",
            hint="Check that its files can be read and that the disk has room.",
        ) from error
    config = _config(command, diff_id)
    return packed_image(config, [packed], cache.drop)


def _config(command: Sequence[str], diff_id: str) -> bytes:
    config = {
        "architecture": "amd64",
        "config": {"Cmd": list(command), "Env": [f"PATH={PATH}"], "WorkingDir": f"/{WORK_DIRECTORY}"},
        "created": EPOCH,
        "history": [{"created": EPOCH, "created_by": "liftlock"}],
        "os": "linux",
        "rootfs": {"diff_ids": [diff_id], "type": "layers"},
    }
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _Hashing:
    """A file that hashes and counts what is written to it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        self._write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def _write_layer(directory: Path, file: IO[bytes]) -> tuple[str, str]:
    """Write the gzipped tar; returns the digests of the tar itself and of the file."""
    packed = _Hashing(file.write)
    compressor = fast_gzip()
    plain = _Hashing(lambda data: packed.write(compressor.compress(data)))
    with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        _add(tar, directory, _entry(WORK_DIRECTORY, tarfile.DIRTYPE, 0o755))
        for path in _walk(directory):
            _add(tar, path, _described(directory, path))
    packed.write(compressor.flush())
    return plain.digest, packed.digest


def _add(tar: tarfile.TarFile, path: Path, entry: tarfile.TarInfo) -> None:
    if not entry.isreg():
        tar.addfile(entry)
        return
    with path.open("rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        tar.addfile(entry, file)


def _walk(directory: Path) -> Iterator[Path]:
    """Everything below `directory`, a folder before what is in it, sorted by name."""
    for path in sorted(directory.iterdir(), key=lambda path: os.fsencode(path.name)):
        if path.name in LEFT_OUT or path.suffix == ".pyc":
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _described(directory: Path, path: Path) -> tarfile.TarInfo:
    name = f"{WORK_DIRECTORY}/{path.relative_to(directory).as_posix()}"
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        entry = _entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = path.readlink().as_posix()
        if not path.resolve().is_relative_to(directory.resolve()):
            raise UsageError(
                f"{path} points out of {directory}, so what it means is not in the image.",
                hint="Copy what it points to into the directory.",
            )
        return entry
    if stat.S_ISDIR(mode):
        return _entry(name, tarfile.DIRTYPE, 0o755)
    if stat.S_ISREG(mode):
        return _entry(name, tarfile.REGTYPE, 0o755 if mode & 0o111 else 0o644)
    raise UsageError(f"{path} is neither a file, a folder nor a link, and cannot be in an image.")


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry
