"""Bad input that is too large to be kept, by its name in the index."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping


def _with_a_large_config() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in (
            ("manifest.json", b'[{"Config": "config.json", "Layers": []}]'),
            ("config.json", b" " * 17_000_000),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


MADE: Mapping[str, Callable[[], bytes]] = {
    "deep": lambda: b"[" * 200_000,
    "large": lambda: b'["' + b"x" * 11_000_000 + b'"]',
    "bomb": lambda: gzip.compress(b" " * 100_000_000, 9),
    "bomb-in-a-bomb": lambda: gzip.compress(gzip.compress(b" " * 100_000_000, 9), 9),
    "dots": lambda: b"[" + b".".join([b"a"] * 20_000) + b"]",
    "tables": lambda: b"a = " + b"{a = " * 5_000,
    "arrays": lambda: b"a = " + b"[" * 100_000,
    "config": _with_a_large_config,
}
