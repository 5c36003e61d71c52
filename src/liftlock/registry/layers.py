"""Layers packed once, and remembered by the digest of what they hold.

A layer is the same layer wherever it is built (its *diff id*), and packing it is most of the work of
a push. So the packed file is kept: the next build that has the layer, and the push that goes on after
an interruption, send the very same bytes, which the registry then has already.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, Any

from liftlock.errors import LiftlockError
from liftlock.registry.compression import CHUNK, GZIP, PLAIN, fast_gzip, packing_errors, sniff, unpacked
from liftlock.registry.manifests import DOCKER_LAYER, Descriptor, sha256
from liftlock.registry.packers import Packers

KEPT_BYTES = 20 * 1000**3
"""The folder is kept below this; what was not used for longest goes first."""
KEPT_S = 24 * 3600.0
"""What was used within this long stays: another push may be about to send it."""

_FILE = re.compile(r"(?P<digest>[0-9a-f]{64})\.gz")


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file: all of it, or what a tar holds at a place."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer as it is sent."""

    diff_id: str
    digest: str
    part: Part

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(DOCKER_LAYER, self.digest, self.part.size)


class LayerCache:
    """The folder of packed layers, and of the configs of images that were packed. Its calls block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._packers = Packers()
        self._packing: dict[str, Future[Packed]] = {}
        self._lock = Lock()

    def find(self, diff_id: str) -> Packed | None:
        """The packed layer, if it was packed before."""
        try:
            for path in (self.folder / "layers" / _hex(diff_id)).iterdir():
                match = _FILE.fullmatch(path.name)
                if match:
                    os.utime(path)
                    return Packed(diff_id, f"sha256:{match['digest']}", Part(path, 0, path.stat().st_size))
        except OSError:  # not there, or just removed by another process
            pass
        return None

    def pack_all(self, layers: Sequence[tuple[str, Part]], what: str) -> list[Packed]:
        """The packed layers, by diff id, in their order; several are packed at once, each one once."""
        packing = [self._pack_once(diff_id, source, what) for diff_id, source in layers]
        wait(packing)  # all of them, also after a failure: what they read may be removed next
        return [packed.result() for packed in packing]

    def _pack_once(self, diff_id: str, source: Part, what: str) -> Future[Packed]:
        """Images that are read at the same time share their bases: each is packed by who asks first."""
        with self._lock:
            under_way = self._packing.get(diff_id)
            if under_way is not None:
                return under_way
            known = self.find(diff_id)
            if known is not None:
                found: Future[Packed] = Future()
                found.set_result(known)
                return found
            packing = self._packers.submit(source.size, partial(self.pack, diff_id, source, what))
            self._packing[diff_id] = packing
        packing.add_done_callback(lambda _: self._packing.pop(diff_id))
        return packing

    def adopt(self, diff_id: str, digest: str, file: Path) -> Packed:
        """Take over a file that is the packed layer already."""
        folder = self.folder / "layers" / _hex(diff_id)
        folder.mkdir(parents=True, exist_ok=True)
        known = self.find(diff_id)
        if known is not None:
            file.unlink()
            return known
        shutil.move(file, folder / f".{file.name}-{os.getpid()}")
        packed = (folder / f".{file.name}-{os.getpid()}").replace(folder / f"{_hex(digest)}.gz")
        return Packed(diff_id, digest, Part(packed, 0, packed.stat().st_size))

    def pack(self, diff_id: str, source: Part, what: str) -> Packed:
        """Pack a layer that lies in a file: gzip stays as it is, zstd and plain tars become gzip.

        Raises `LiftlockError` when `source` does not hold the layer that `diff_id` names; `what`
        is what messages call it.
        """
        folder = self.folder / "layers" / _hex(diff_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
                temporary = Path(file.name)
                try:
                    found, digest = _pack(source, file.file)
                    if found != diff_id:
                        raise LiftlockError(
                            f"{what} does not hold the layer {diff_id}, but {found}.",
                            hint="It was damaged on its way, or changed while it was read: make it again.",
                        )
                    file.flush()
                    packed = folder / f"{_hex(digest)}.gz"
                    temporary.replace(packed)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
        except packing_errors() as error:
            raise LiftlockError(
                f"{what} cannot be packed: {error}.",
                hint=f"Check that it is whole, and that there is room in {self.folder}.",
            ) from error
        self._prune()
        return Packed(diff_id, digest, Part(packed, 0, packed.stat().st_size))

    def config(self, name: str) -> bytes | None:
        """The config that was kept under `name`, a digest."""
        try:
            content = (self.folder / "configs" / _hex(name)).read_bytes()
        except OSError:
            return None
        kept, _, config = content.partition(b"\n")
        return config if kept == sha256(config).encode() else None

    def keep_config(self, name: str, config: bytes) -> None:
        """Keep an image's config under `name`: an engine's own name of the image."""
        folder = self.folder / "configs"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            file.write(sha256(config).encode() + b"\n" + config)
        Path(file.name).replace(folder / _hex(name))

    def keep_log(self, command: Sequence[str], lines: Sequence[str]) -> Path:
        """Keep a build's log until the same command is run again; returns where."""
        folder = self.folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{_hex(sha256(chr(0).join(command).encode()))[:16]}.log"
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="replace")
        return log

    def drop(self, path: Path) -> None:
        """Remove a file that proved wrong, if it is ours: the next push packs it again."""
        if path.is_relative_to(self.folder):
            path.unlink(missing_ok=True)

    def _prune(self) -> None:
        """Remove what was not used for longest, until the folder is small enough."""
        files = []
        for path in (self.folder / "layers").glob("*/*"):
            try:
                files.append((path.stat().st_mtime, path.stat().st_size, path))
            except OSError:  # another process was faster
                continue
        size = sum(each for _, each, _ in files)
        for used, each, path in sorted(files):
            if size <= KEPT_BYTES or time.time() - used < KEPT_S:
                return
            path.unlink(missing_ok=True)
            size -= each


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where packed layers are kept: `$XDG_CACHE_HOME/liftlock`.

    Source: XDG Base Directory Specification: a relative path there counts as none.
    """
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or Path.home()) / ".cache"
    return base / "liftlock"


def _pack(source: Part, target: IO[bytes]) -> tuple[str, str]:
    """Write the packed layer; returns the digests of what it holds and of what was written."""
    with source.path.open("rb", buffering=0) as file:
        file.seek(source.start)
        packing = sniff(file.read(4))
        if packing == PLAIN:
            return _compress(_window(source, file).readinto, target)
        if packing == GZIP:
            written = _copy(_window(source, file).readinto, target)
            with unpacked(_buffered(source, file), packing) as read:
                return _digest(read), written
        with unpacked(_buffered(source, file), packing) as read:
            return _compress(_into(read), target)


_ReadInto = Callable[[memoryview], int]
"""Fills a buffer, and returns how many bytes came; 0 at the end."""


def _compress(read: _ReadInto, target: IO[bytes]) -> tuple[str, str]:
    """The digests of a tar and of the gzip that is written of it."""
    plain, written = hashlib.sha256(), hashlib.sha256()
    compressor = fast_gzip()
    buffer = memoryview(bytearray(CHUNK))
    while size := read(buffer):
        piece = buffer[:size]
        plain.update(piece)
        _write(compressor.compress(piece), target, written)
    _write(compressor.flush(), target, written)
    return f"sha256:{plain.hexdigest()}", f"sha256:{written.hexdigest()}"


def _copy(read: _ReadInto, target: IO[bytes]) -> str:
    """The digest of what is written as it is."""
    written = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    while size := read(buffer):
        _write(buffer[:size], target, written)
    return f"sha256:{written.hexdigest()}"


def _digest(read: Callable[[int], bytes]) -> str:
    plain = hashlib.sha256()
    while piece := read(CHUNK):
        plain.update(piece)
    return f"sha256:{plain.hexdigest()}"


def _into(read: Callable[[int], bytes]) -> _ReadInto:
    def fill(buffer: memoryview) -> int:
        piece = read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    return fill


def _write(piece: bytes | memoryview, target: IO[bytes], written: hashlib._Hash) -> None:
    target.write(piece)
    written.update(piece)


class _Window(io.RawIOBase):
    """A part of an open file, read as if it were a file of its own."""

    def __init__(self, file: io.FileIO, left: int) -> None:
        self._file = file
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(memoryview(buffer)[: self._left])
        self._left -= size
        return size


def _window(source: Part, file: io.FileIO) -> _Window:
    file.seek(source.start)
    return _Window(file, source.size)


def _buffered(source: Part, file: io.FileIO) -> IO[bytes]:
    return io.BufferedReader(_window(source, file), CHUNK)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
