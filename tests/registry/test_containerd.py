"""Images in containerd's store, as engines keep them whose `Id` is a manifest's or an index's digest.

A real containerd takes an image in and gives it out again; `docker` here is a few lines that pass on what
an engine asks of that store: Docker's own engine with it is not packaged everywhere.
Source: Docker, "containerd image store with Docker Engine"; moby, `daemon/containerd/image_inspect.go`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.model import ProcessSource
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.manifests import SCHEMA2, sha256
from liftlock.registry.sources import Sources
from tests.registry.memory import Memory
from tests.registry.test_distribution import quiet
from tests.registry.test_sources import CONFIG, LAYERS, layout

pytestmark = pytest.mark.anyio

NAME = "docker.io/example/app:1"
DOCKER = """#!/bin/sh
case "$1 $2" in
"image inspect")
  digest=$(ctr --address "$STORE" images ls "name==docker.io/$5" | sed -n 's/.* \\(sha256:[0-9a-f]*\\) .*/\\1/p')
  echo "\\"$digest\\"" ;;
"image save") ctr --address "$STORE" images export "$4" docker.io/example/app:1 ;;
*) echo "not known: $*"; exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a containerd that this module runs for itself."""
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        pytest.skip("containerd is not installed (apt-get install containerd)")
    if os.geteuid() != 0:
        pytest.skip("a containerd of its own needs root")
    # A short path: a unix socket's name has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="liftlock-containerd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config = folder / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{folder / "root"}"\nstate = "{folder / "state"}"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
            f'[grpc]\naddress = "{folder / "socket"}"\n[ttrpc]\naddress = "{folder / "ttrpc"}"\n'
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["containerd", "--config", str(config)], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while _ctr(str(folder / "socket"), "version").returncode != 0:
                if time.monotonic() > deadline or process.poll() is not None:
                    pytest.skip(f"containerd did not start: {(folder / 'log').read_text()[-300:]}")
                time.sleep(0.05)
            yield str(folder / "socket")
        finally:
            process.terminate()
            process.wait(30)


def _ctr(store: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["ctr", "--address", store, "--connect-timeout", "2s", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("platforms", [False, True], ids=["a manifest", "an index"])
@pytest.mark.parametrize("packing", ["+gzip", "+zstd"])
async def test_an_image_in_containerds_store_keeps_its_id_and_its_layers(
    distribution: Callable[..., Distribution], store: str, tmp_path: Path, packing: str, platforms: bool
) -> None:
    kept_as = imported(store, tmp_path, packing, platforms)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environ = {"PATH": f"{docker.parent}:{os.environ['PATH']}", "STORE": store}
    sources = Sources(LayerCache(tmp_path / "cache"), environ)
    image = await sources.image(ProcessSource(image="example/app:1"), tmp_path, quiet)
    assert image.image_id.value == sha256(CONFIG)
    assert image.image_id.value != kept_as
    assert image.schema2.digest.value != kept_as
    memory = Memory()
    client = distribution(memory.transport, schema2_only=("heroku.test",), scheme="https")
    pushed = await client.push(image, {"heroku.test/app/web": ["abc"]}, quiet)
    assert pushed.image_id.value == sha256(CONFIG)
    media_type, content = memory.manifests["app/web", "abc"]
    assert (media_type, sha256(content)) == (SCHEMA2, pushed.digest.value)
    assert {layer["mediaType"] for layer in json.loads(content)["layers"]} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }
    assert len(json.loads(content)["layers"]) == len(LAYERS)
    again = await Sources(LayerCache(tmp_path / "cache"), environ).image(
        ProcessSource(image="example/app:1"), tmp_path, refused
    )
    assert again.schema2.content == image.schema2.content


def refused(text: str) -> None:
    raise AssertionError(f"it was read again: {text}")


def imported(store: str, folder: Path, packing: str, platforms: bool) -> str:
    """Take an image in; the digest that the store knows it by."""
    layout(folder / "layout", packing, platforms=platforms)
    index = folder / "layout" / "index.json"
    payload = json.loads(index.read_text())
    (entry,) = payload["manifests"]
    entry["annotations"] = {"io.containerd.image.name": NAME}
    index.write_text(json.dumps(payload))
    with tarfile.open(folder / "layout.tar", "w") as archive:
        archive.add(folder / "layout", ".")
    done = _ctr(store, "images", "import", "--no-unpack", "--all-platforms", str(folder / "layout.tar"))
    assert done.returncode == 0, done.stderr
    return str(entry["digest"])
