"""Images for tests: layers of tars with made-up files."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

from liftlock.registry.layers import LayerCache, Part
from liftlock.registry.local_images import LocalImage, packed_image
from liftlock.registry.manifests import sha256


def tar(name: str, size: int = 1000) -> bytes:
    """A layer: one file whose bytes follow from its name, half of it hard to compress."""
    seeded = random.Random(name)
    content = seeded.randbytes(size // 2) + bytes(size - size // 2)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def config_of(layers: Sequence[bytes], **more: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": more}).encode()


def local_image(folder: Path, cache: LayerCache, layers: Sequence[bytes], **more: object) -> LocalImage:
    """An image that was packed on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = []
    for layer in layers:
        path = folder / sha256(layer)[7:]
        path.write_bytes(layer)
        packed.append(cache.pack(sha256(layer), Part(path, 0, len(layer)), "a test's layer"))
    return packed_image(config_of(layers, **more), packed, cache.drop)
