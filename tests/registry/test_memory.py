"""What a push holds in memory does not grow with what it pushes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

MIB = 1024 * 1024
LAYER_MIB, LAYERS = 96, 3
TOML = """
[project]
name = "large"
repository = "example/large"
[environments.dev]
[environments.staging]
from = ["dev"]
[apps.web]
heroku = "web-{env}"
processes.web = { archive = "web.tar" }
"""
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""Runs a program and prints its largest resident size in KiB. A process of its own: a child inherits its parent's."""


def save(file: Path) -> None:
    """An image as `docker image save` writes it, with layers that hardly compress."""
    block = random.Random(1).randbytes(MIB)
    diff_ids = []
    with tarfile.open(file, "w") as tar:
        for number in range(LAYERS):
            layer = _Repeated(bytes([number]) * 512 + block[512:], LAYER_MIB)
            diff_ids.append(layer.digest())
            _add(tar, f"{number}/layer.tar", layer, layer.size)
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        names = [f"{number}/layer.tar" for number in range(LAYERS)]
        manifest = [{"Config": "config.json", "RepoTags": ["web:latest"], "Layers": names}]
        for name, payload in (("config.json", config), ("manifest.json", manifest)):
            content = json.dumps(payload).encode()
            _add(tar, name, io.BytesIO(content), len(content))


class _Repeated(io.RawIOBase):
    """One block so many times over, without holding it all."""

    def __init__(self, block: bytes, times: int) -> None:
        self._block = block
        self._place = 0
        self.size = len(block) * times

    def read(self, size: int = -1) -> bytes:
        start = self._place % len(self._block)
        piece = self._block[start : start + size]
        self._place += len(piece)
        return piece

    def digest(self) -> str:
        found = hashlib.sha256()
        for _ in range(self.size // len(self._block)):
            found.update(self._block)
        return f"sha256:{found.hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, content: io.RawIOBase | io.BytesIO, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, content)


@pytest.mark.e2e
def test_a_push_of_large_images_stays_within_64_mib(
    cncf_registry: str, tmp_path: Path, program: Path
) -> None:
    """The whole process, interpreter and libraries included: 300 MiB go through it."""
    checkout = tmp_path / "large"
    checkout.mkdir()
    save(checkout / "web.tar")
    (checkout / "liftlock.toml").write_text(TOML)
    variables = ("GITHUB_API_URL", "HEROKU_API_URL", "HEROKU_DATA_URL", "HEROKU_REGISTRY_URL")
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": os.devnull,
        **dict.fromkeys(variables, f"http://{cncf_registry}"),
    }  # fmt: skip
    who = ["-c", "user.name=Large Team", "-c", "user.email=team@large.example"]
    for words in (
        ["init", "-q"], ["remote", "add", "origin", "git@github.com:example/large.git"],
        ["add", "liftlock.toml"], [*who, "commit", "-q", "-m", "Begin"],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=checkout, env=environ, check=True)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(program), "push"],
        cwd=checkout, env=environ, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    assert int(measured.stdout) / 1024 < 64
