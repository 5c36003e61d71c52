"""Images from archives, layouts, engines and directories: the same image whatever it comes in."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from liftlock.errors import ArtifactMissing, LiftlockError, UsageError
from liftlock.model import ProcessSource
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.manifests import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, SCHEMA2, sha256
from liftlock.registry.sources import Sources
from liftlock.tasks import all_at_once
from tests.registry.memory import Memory
from tests.registry.pictures import config_of, tar
from tests.registry.test_distribution import quiet

pytestmark = pytest.mark.anyio

LAYERS = (tar("base", 20_000), tar("app", 5_000))
CONFIG = config_of(LAYERS, Cmd=["/app"])
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "+gzip": lambda layer: gzip.compress(layer, 9, mtime=1),
    "+zstd": lambda layer: zstandard.compress(layer),
}


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


@pytest.fixture
def sources(cache: LayerCache, tmp_path: Path) -> Sources:
    """With a `docker` that says what `docker.json` in its folder says."""
    return Sources(
        cache, {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "FAKE": str(tmp_path / "fake")}
    )


def layout(folder: Path, packing: str = "+gzip", *, platforms: bool = False) -> str:
    """Write an OCI layout; returns its image manifest's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str) -> dict[str, Any]:
        (blobs / sha256(content)[7:]).write_bytes(content)
        return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}

    layer_type = f"application/vnd.oci.image.layer.v1.tar{packing}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": put(CONFIG, OCI_CONFIG),
        "layers": [put(PACKERS[packing](layer), layer_type) for layer in LAYERS],
        "annotations": {"kept": "byte for byte"},
    }
    entry = put(json.dumps(manifest, indent=1).encode(), OCI_MANIFEST)
    digest = str(entry["digest"])
    if platforms:
        attestation = {**entry, "platform": {"os": "unknown", "architecture": "unknown"}}
        entry["platform"] = {"os": "linux", "architecture": "amd64"}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [attestation, entry]}
        entry = put(json.dumps(index).encode(), OCI_INDEX)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest


def saved(file: Path, *, linked: bool = False) -> None:
    """Write what `docker image save` writes; `linked`: a layer that is a link, as old engines make them."""
    names = ["1/layer.tar", "2/layer.tar"]
    manifest = [{"Config": "config.json", "RepoTags": ["example/app:1"], "Layers": names}]
    with tarfile.open(file, "w") as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        add("config.json", CONFIG)
        for name, layer in zip(names, LAYERS, strict=True):
            add(f"0/{name[0]}.tar" if linked else name, layer)
        if linked:
            for name in names:
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, f"../0/{name[0]}.tar"
                archive.addfile(link)
        add("manifest.json", json.dumps(manifest).encode())


async def pushed(
    distribution: Callable[..., Distribution], sources: Sources, source: ProcessSource, checkout: Path
) -> Memory:
    """Push to Heroku's registry and to one that takes everything."""
    memory = Memory()
    client = distribution(memory.transport, schema2_only=("heroku.test",), scheme="https")
    image = await sources.image(source, checkout, quiet)
    assert image.image_id.value == sha256(CONFIG)
    await client.push(image, {"heroku.test/app/web": ["1"], "archive.test/example/app": ["1"]}, quiet)
    media_type, content = memory.manifests["app/web", "1"]
    assert media_type == SCHEMA2
    payload = json.loads(content)
    assert memory.blobs["app/web"][payload["config"]["digest"]] == CONFIG
    for layer, described in zip(LAYERS, payload["layers"], strict=True):
        assert described["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"
        assert gzip.decompress(memory.blobs["app/web"][described["digest"]]) == layer
    return memory


@pytest.mark.parametrize("platforms", [False, True], ids=["plain", "with an index and attestations"])
@pytest.mark.parametrize("packing", PACKERS)
async def test_a_layout_reaches_heroku_as_schema_2_and_the_archive_as_it_is(
    distribution: Callable[..., Distribution],
    sources: Sources,
    tmp_path: Path,
    packing: str,
    platforms: bool,
) -> None:
    digest = layout(tmp_path / "image", packing, platforms=platforms)
    memory = await pushed(distribution, sources, ProcessSource(layout="image"), tmp_path)
    media_type, content = memory.manifests["example/app", "1"]
    assert (media_type, sha256(content)) == (OCI_MANIFEST, digest)
    if packing == "+gzip":  # what is gzip already is not packed anew
        assert memory.blobs["app/web"].keys() <= memory.blobs["example/app"].keys()


async def test_an_oci_archive_is_a_layout_in_a_tar(
    distribution: Callable[..., Distribution], sources: Sources, tmp_path: Path
) -> None:
    digest = layout(tmp_path / "image")
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(tmp_path / "image", ".")
    memory = await pushed(distribution, sources, ProcessSource(archive="image.tar"), tmp_path)
    assert sha256(memory.manifests["example/app", "1"][1]) == digest


@pytest.mark.parametrize("linked", [False, True])
async def test_a_saved_image_becomes_the_same_manifest_each_time(
    distribution: Callable[..., Distribution], sources: Sources, tmp_path: Path, linked: bool
) -> None:
    saved(tmp_path / "image.tar", linked=linked)
    memory = await pushed(distribution, sources, ProcessSource(archive="image.tar"), tmp_path)
    again = Sources(sources.cache, sources.environ)
    image = await again.image(ProcessSource(archive="image.tar"), tmp_path, quiet)
    assert memory.manifests["app/web", "1"][1] == image.schema2.content


def damage(folder: Path, what: str) -> None:
    index = json.loads((folder / "index.json").read_text())
    manifest = folder / "blobs" / "sha256" / index["manifests"][0]["digest"][7:]
    payload = json.loads(manifest.read_text())
    if what == "manifest":
        manifest.write_text(manifest.read_text() + " ")
    elif what == "config":
        (folder / "blobs" / "sha256" / payload["config"]["digest"][7:]).write_text("{}")
    elif what == "layer":
        (folder / "blobs" / "sha256" / payload["layers"][0]["digest"][7:]).unlink()
    elif what == "short":
        layer = folder / "blobs" / "sha256" / payload["layers"][0]["digest"][7:]
        layer.write_bytes(layer.read_bytes()[:-1])
    elif what == "empty":
        (folder / "index.json").write_text('{"manifests": []}')
    elif what == "text":
        (folder / "index.json").write_text("no")
    elif what == "two":
        (folder / "index.json").write_text(json.dumps({"manifests": index["manifests"] * 2}))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("manifest", "a manifest that is not sha256:"),
        ("config", "a config that is not sha256:"),
        ("layer", "lacks the file blobs/sha256/"),
        ("short", "bytes of the layer sha256:"),
        ("empty", "lists no image"),
        ("text", "not JSON"),
        ("two", "holds 2 images"),
    ],
)
async def test_a_damaged_layout_says_what_is_wrong(
    sources: Sources, tmp_path: Path, what: str, why: str
) -> None:
    layout(tmp_path / "image")
    damage(tmp_path / "image", what)
    with pytest.raises(LiftlockError, match=why) as caught:
        await sources.image(ProcessSource(layout="image"), tmp_path, quiet)
    assert str(tmp_path / "image") in caught.value.message


async def test_an_image_for_several_platforms_is_ours_whatever_the_engine_that_saved_it_runs_on(
    sources: Sources, tmp_path: Path
) -> None:
    """As an engine 29.7 saves one from containerd's store, on a machine with another processor."""
    layout(tmp_path / "layout", platforms=True)
    other = json.dumps({**json.loads(CONFIG), "architecture": "arm64"}).encode()
    config = f"blobs/sha256/{sha256(other)[7:]}"
    (tmp_path / "layout" / config).write_bytes(other)
    manifest: list[dict[str, Any]] = [{"Config": config, "RepoTags": None, "Layers": []}]
    (tmp_path / "layout" / "manifest.json").write_text(json.dumps(manifest))
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(tmp_path / "layout", ".")
    image = await sources.image(ProcessSource(archive="image.tar"), tmp_path, quiet)
    assert image.image_id.value == sha256(CONFIG)
    # Pulled by such an engine, the image is listed for all platforms and is there for its own alone.
    (tmp_path / "layout" / "blobs" / "sha256" / sha256(CONFIG)[7:]).unlink()
    with tarfile.open(tmp_path / "pulled.tar", "w") as archive:
        archive.add(tmp_path / "layout", ".")
    with pytest.raises(LiftlockError, match="is an image for linux/arm64") as caught:
        await sources.image(ProcessSource(archive="pulled.tar"), tmp_path, quiet)
    assert "linux/amd64" in caught.value.hint


async def test_files_that_are_no_images_are_told_apart(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz"):
        pass
    for file, why in (
        ("absent", "There is no archive"),
        ("text", "is not a tar archive"),
        ("empty.tar", "neither manifest.json nor index.json"),
        ("packed.tar.gz", "is not a tar archive"),
    ):
        with pytest.raises(LiftlockError, match=why):
            await sources.image(ProcessSource(archive=file), tmp_path, quiet)
    with pytest.raises(UsageError, match="is not an OCI layout"):
        await sources.image(ProcessSource(layout="absent"), tmp_path, quiet)


FAKE_DOCKER = """#!/usr/bin/env python3
import json, os, pathlib, shutil, sys
fake = pathlib.Path(os.environ["FAKE"])
with (fake / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[1:]
if words[:2] == ["image", "inspect"]:
    if words[-1] == "example/absent" or words[-1] == "sha256:" + "2" * 64:
        sys.exit("Error: No such image: " + words[-1])
    print(json.dumps("sha256:" + "1" * 64))
elif words[:2] == ["image", "save"]:
    shutil.copy(fake / "image.tar", words[words.index("--output") + 1])
elif words[:2] == ["buildx", "version"]:
    print("v0.1")
elif words[:2] == ["buildx", "build"]:
    if (fake / "broken").exists():
        print("step 1", os.environ.get("NPM_TOKEN"))
        sys.exit("step 2 failed")
    names = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]
    if (fake / "elsewhere").exists():
        names.reverse()
    metadata = {"containerimage.digest": names[0], "containerimage.config.digest": names[1]}
    pathlib.Path(words[words.index("--metadata-file") + 1]).write_text(json.dumps(metadata))
    pathlib.Path(words[words.index("--iidfile") + 1]).write_text(names[1])
"""


@pytest.fixture
def docker(tmp_path: Path, sources: Sources) -> Callable[[], list[list[str]]]:
    """A `docker` whose images' Id is no config digest, as with the containerd store; what it was asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(FAKE_DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    (tmp_path / "fake").mkdir()
    saved(tmp_path / "fake" / "image.tar")
    calls = tmp_path / "fake" / "calls"
    return lambda: [json.loads(line) for line in calls.read_text().splitlines()]


async def test_an_engines_image_is_saved_once_and_its_id_is_the_configs_digest(
    distribution: Callable[..., Distribution],
    sources: Sources,
    docker: Callable[[], list[list[str]]],
    tmp_path: Path,
) -> None:
    source = ProcessSource(image="example/app")
    await pushed(distribution, sources, source, tmp_path)
    again = await Sources(sources.cache, sources.environ).image(source, tmp_path, quiet)
    assert again.image_id.value == sha256(CONFIG)
    assert [call[1] for call in docker()] == ["inspect", "save", "inspect"]
    with pytest.raises(ArtifactMissing, match="has no image example/absent"):
        await sources.image(ProcessSource(image="example/absent"), tmp_path, quiet)


@pytest.mark.usefixtures("docker")
async def test_a_build_command_is_run_once_for_all_that_name_it(sources: Sources, tmp_path: Path) -> None:
    command = ("sh", "-c", "echo ran >> runs")
    async with all_at_once() as tasks:
        for name in ("a", "b", "c"):
            source = ProcessSource(image=f"example/{name}", build=command)
            tasks.start_soon(sources.image, source, tmp_path, quiet)
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_a_build_command_that_fails_shows_its_log_without_secrets(
    cache: LayerCache, tmp_path: Path
) -> None:
    environ = {"PATH": os.environ["PATH"], "NPM_TOKEN": "very-secret-token"}
    command = ("sh", "-c", "echo compiling $NPM_TOKEN; echo error: no such method; exit 3")
    with pytest.raises(LiftlockError, match=r"exit code 3(.|\n)*no such method") as caught:
        await Sources(cache, environ).image(ProcessSource(image="x", build=command), tmp_path, quiet)
    assert "very-secret-token" not in str(caught.value)
    (log,) = (cache.folder / "logs").iterdir()
    assert str(log) in caught.value.hint
    assert "very-secret-token" not in log.read_text()


async def test_a_dockerfile_is_built_without_attestations_and_its_secrets_are_mounted(
    cache: LayerCache, sources: Sources, docker: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    source = ProcessSource(
        dockerfile="Dockerfile", context="app", target="production",
        args=(("VERSION", "21"),), secrets=(("npm", "env:NPM_TOKEN"),),
    )  # fmt: skip
    with pytest.raises(UsageError, match="in no variable NPM_TOKEN"):
        await sources.image(source, tmp_path, quiet)
    with_secret = Sources(cache, {**sources.environ, "NPM_TOKEN": "very-secret-token"})
    image = await with_secret.image(source, tmp_path, quiet)
    assert image.image_id.value == sha256(CONFIG)
    (build,) = [call for call in docker() if call[:2] == ["buildx", "build"]]
    files = build.index("--iidfile")
    assert build[files + 2] == "--metadata-file"
    assert build[:files] + build[files + 4 :] == [
        "buildx", "build", "--load", "--provenance=false", "--sbom=false", "--file", str(tmp_path / "Dockerfile"),
        "--platform", "linux/amd64", "--target", "production", "--build-arg", "VERSION=21",
        "--secret", "id=npm,env=NPM_TOKEN", str(tmp_path / "app"),
    ]  # fmt: skip
    (tmp_path / "fake" / "broken").touch()
    with pytest.raises(LiftlockError, match=r"Dockerfile does not build \(exit code 1\)") as caught:
        await Sources(cache, with_secret.environ).image(source, tmp_path, quiet)
    assert "step 2 failed" in caught.value.message
    assert "very-secret-token" not in caught.value.message


@pytest.mark.parametrize("elsewhere", [False, True], ids=["containerd's store", "a builder elsewhere"])
@pytest.mark.usefixtures("docker")
async def test_what_buildkit_built_is_found_by_the_name_that_the_engine_knows(
    sources: Sources, tmp_path: Path, elsewhere: bool
) -> None:
    """As an engine 29.7 and buildx 0.29 told: the file of the image's id holds its config's digest."""
    if elsewhere:
        (tmp_path / "fake" / "elsewhere").touch()
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    image = await sources.image(ProcessSource(dockerfile="Dockerfile"), tmp_path, quiet)
    assert image.image_id.value == sha256(CONFIG)


async def test_without_docker_it_says_what_needs_none(cache: LayerCache, tmp_path: Path) -> None:
    with pytest.raises(LiftlockError, match="docker is not installed") as caught:
        await Sources(cache, {"PATH": str(tmp_path)}).image(ProcessSource(image="x"), tmp_path, quiet)
    assert "directory" in caught.value.hint
