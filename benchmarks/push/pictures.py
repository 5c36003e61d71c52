"""The reference project's six images, made up: layers of 1 to 150 MB, their bases shared."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
import tarfile
from pathlib import Path

MB = 1000 * 1000
SYSTEM, JAVA = ("system", 30), ("java", 90)
IMAGES: dict[str, tuple[tuple[str, int], ...]] = {
    "sso": (SYSTEM, JAVA, ("sso-libraries", 50), ("sso", 2)),
    "itc": (SYSTEM, JAVA, ("itc-libraries", 150), ("itc", 30)),
    "odb": (SYSTEM, JAVA, ("odb-libraries", 80), ("odb", 5)),
    "calibration": (SYSTEM, JAVA, ("odb-libraries", 80), ("calibration", 3)),
    "obscalc": (SYSTEM, JAVA, ("odb-libraries", 80), ("obscalc", 4)),
    "resource": (("small", 4), ("resource", 1)),
}


def layer(name: str, size: int) -> bytes:
    """A tar with one file: half as hard to compress as random bytes, like compiled code."""
    seeded = random.Random(name)
    blocks = [seeded.randbytes(5000) + bytes(5000) for _ in range(size * MB // 10_000)]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(f"opt/{name}")
        entry.size = sum(map(len, blocks))
        tar.addfile(entry, io.BytesIO(b"".join(blocks)))
    return packed.getvalue()


def main() -> None:
    """Write images into a folder: FOLDER CHANGED APP…"""
    folder, changed, *apps = sys.argv[1:]
    for app in apps:
        save(Path(folder) / f"{app}.tar", app, changed)


def save(file: Path, app: str, changed: str = "") -> None:
    """Write an image as `docker image save` does; `changed` makes its last layer another one."""
    layers = [layer(*each) for each in IMAGES[app][:-1]]
    name, size = IMAGES[app][-1]
    layers.append(layer(f"{name}{changed}", size))
    digests = [hashlib.sha256(each).hexdigest() for each in layers]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": [f"/opt/{app}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each}" for each in digests]},
        }
    ).encode()
    manifest = [
        {
            "Config": "config.json",
            "RepoTags": [f"{app}:latest"],
            "Layers": [f"{d}/layer.tar" for d in digests],
        }
    ]
    parts = {"config.json": config, **{f"{d}/layer.tar": c for d, c in zip(digests, layers, strict=True)}}
    with tarfile.open(file, "w") as tar:
        for path, content in {**parts, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main()
