"""Layers packed and unpacked: by the fastest gzip that is installed, and zstd where it is.

The extra `liftlock[push]` brings `isal` and `zstandard`. Without them the standard library's
zlib packs the same layers, some five times slower, and zstd layers cannot be read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import IO, Any, Protocol, cast

from liftlock.errors import UsageError

CHUNK = 1024 * 1024
GZIP, ZSTD, PLAIN = "gzip", "zstd", ""
_GZIP_WINDOW = 31  # zlib's largest window, with a gzip header that names no file and no time


class Compressor(Protocol):
    """Takes a layer's bytes piece by piece, and gives the packed ones."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


def fast_gzip() -> Compressor:
    """A gzip compressor: isal's, else zlib-ng's, else the standard library's."""
    for name, level in (("isal.isal_zlib", 1), ("zlib_ng.zlib_ng", 1)):
        module = _module(name)
        if module is not None:
            return cast("Compressor", module.compressobj(level, module.DEFLATED, _GZIP_WINDOW))
    return zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)


def sniff(start: bytes) -> str:
    """How something is packed, by its first bytes: "gzip", "zstd" or "" for neither."""
    if start.startswith(b"\x1f\x8b"):
        return GZIP
    return ZSTD if start.startswith(b"\x28\xb5\x2f\xfd") else PLAIN


@contextmanager
def unpacked(file: IO[bytes], packing: str) -> Iterator[Callable[[int], bytes]]:
    """A `read` for what is packed in `file`. Reading raises `PACKING_ERRORS` for broken data."""
    opened: AbstractContextManager[Any]
    if packing == PLAIN:
        yield file.read
        return
    if packing == GZIP:
        opened = (_module("isal.igzip") or gzip).open(file, "rb")
    else:
        zstd = _module("zstandard")
        if zstd is None:
            raise UsageError(
                "A layer is compressed with zstd, and nothing is installed that reads it.",
                hint="Install it with: pip install 'liftlock[push]'",
            )
        opened = zstd.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    with opened as stream:
        yield stream.read


def packing_errors() -> tuple[type[Exception], ...]:
    """What reading broken packed data raises."""
    zstd, isal = _module("zstandard"), _module("isal.isal_zlib")
    found: list[type[Exception]] = [OSError, EOFError, zlib.error]
    found += [zstd.ZstdError] if zstd is not None else []
    found += [isal.error] if isal is not None else []
    return tuple(found)


def _module(name: str) -> Any:
    """An optional module, imported when a layer is packed and not before."""
    try:
        return import_module(name)
    except ImportError:
        return None
