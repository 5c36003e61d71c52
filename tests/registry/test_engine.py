"""Images of a real Docker engine: built, pushed by us, and pulled back by it.

With both of its image stores: Docker's own calls an image by its config's digest, containerd's by its manifest's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.errors import ArtifactMissing, LiftlockError
from liftlock.model import ProcessSource
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.sources import Sources
from tests.registry.dockerd import NoEngine, own_engine
from tests.registry.test_distribution import quiet
from tests.registry.test_push import skopeo

pytestmark = [pytest.mark.anyio, pytest.mark.docker]

DOCKERFILE = """\
FROM scratch AS base
COPY busybox /bin/busybox
FROM base AS production
ARG TEXT=none
LABEL text=$TEXT
COPY hello.txt /hello.txt
CMD ["/bin/busybox", "cat", "/hello.txt"]
FROM base AS broken
COPY absent.txt /
"""


@pytest.fixture(scope="module", params=["", "containerd"], ids=["Docker's own store", "containerd's store"])
def docker_host(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DOCKER_HOST of an engine that this module runs for itself."""
    try:
        with own_engine(store=request.param) as engine:
            yield engine.host
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed (apt-get install busybox-static)")
    folder = tmp_path / "checkout" / "app"
    folder.mkdir(parents=True)
    shutil.copy(busybox, folder / "busybox")
    (folder / "hello.txt").write_text("hello\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path / "checkout"


def source(**more: str) -> ProcessSource:
    return ProcessSource(
        dockerfile="app/Dockerfile", context="app", target=more.get("target", "production"),
        args=(("TEXT", more.get("text", "built")),),
    )  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path, docker_host: str) -> Sources:
    plugin = Path(os.environ.get("LIFTLOCK_TEST_ENGINE", "")) / "docker-buildx"
    if plugin.is_file():
        (tmp_path / ".docker" / "cli-plugins").mkdir(parents=True)
        (tmp_path / ".docker" / "cli-plugins" / plugin.name).symlink_to(plugin)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": docker_host}
    return Sources(LayerCache(tmp_path / "cache"), environ)


def docker(host: str, *arguments: str) -> str:
    done = subprocess.run(
        ["docker", "--host", host, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def id_of(host: str, text: str) -> str:
    """What the engine calls the image that was built with this text."""
    filters = ["--filter", f"label=text={text}"]
    return docker(host, "image", "ls", "--no-trunc", "--quiet", *filters)


async def test_what_is_built_is_pushed_and_pulled_back_by_its_digest(
    distribution: Callable[..., Distribution],
    sources: Sources,
    docker_host: str,
    cncf_registry: str,
    checkout: Path,
) -> None:
    client = distribution()
    client.sources = sources
    repositories = [f"{cncf_registry}/engine-{env}/web" for env in ("dev", "staging")]
    image = await client.publish(
        source(text="pushed"), checkout, {name: ["abc"] for name in repositories}, quiet
    )
    engine_id = id_of(docker_host, "pushed")
    in_containerd = "containerd.snapshotter" in docker(docker_host, "info", "--format", "{{.DriverStatus}}")
    assert (engine_id == image.image_id.value) is not in_containerd
    assert skopeo(f"docker://{repositories[1]}:abc")[0] == image.digest.value
    docker(docker_host, "image", "rm", "--force", engine_id)
    docker(docker_host, "pull", "--quiet", f"{repositories[1]}@{image.digest}")
    pulled = json.loads(docker(docker_host, "image", "inspect", f"{repositories[1]}@{image.digest}"))[0]
    assert pulled["Id"] == (image.digest if in_containerd else image.image_id).value
    assert pulled["Config"]["Labels"] == {"text": "pushed"}
    # What was pulled is the same image again, though containerd's store knows it by another digest than before.
    name = ProcessSource(image=f"{repositories[1]}@{image.digest}")
    again = await Sources(sources.cache, sources.environ).image(name, checkout, quiet)
    assert again.image_id == image.image_id


async def test_an_image_by_name_is_the_one_that_was_built(
    sources: Sources, docker_host: str, checkout: Path
) -> None:
    built = await sources.image(source(), checkout, quiet)
    docker(docker_host, "tag", id_of(docker_host, "built"), "example/hello:1")
    named = await Sources(sources.cache, sources.environ).image(
        ProcessSource(image="example/hello:1"), checkout, quiet
    )
    assert named.schema2.content == built.schema2.content
    with pytest.raises(ArtifactMissing, match="has no image example/absent"):
        await sources.image(ProcessSource(image="example/absent"), checkout, quiet)


async def test_a_dockerfile_that_does_not_build_shows_why(sources: Sources, checkout: Path) -> None:
    with pytest.raises(LiftlockError, match=r"app/Dockerfile does not build(.|\n)*absent\.txt"):
        await sources.image(source(target="broken"), checkout, quiet)


async def test_an_engine_that_does_not_answer_is_named(sources: Sources, checkout: Path) -> None:
    gone = Sources(sources.cache, {**sources.environ, "DOCKER_HOST": f"unix://{checkout}/nowhere"})
    with pytest.raises(LiftlockError, match="no Docker engine answers") as caught:
        await gone.image(ProcessSource(image="example/hello"), checkout, quiet)
    assert "DOCKER_HOST" in caught.value.hint
