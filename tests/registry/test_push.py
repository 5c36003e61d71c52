"""Many images to many repositories: every blob leaves once, is found again, and proves right."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trio
import trio.testing

from liftlock.errors import LiftlockError, Unauthorized, VendorError
from liftlock.http import Http
from liftlock.registry.compression import packing_errors
from liftlock.registry.connection import Registry
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache, Part, cache_folder
from liftlock.registry.local_images import Damaged, LocalImage
from liftlock.registry.manifests import SCHEMA2, sha256
from liftlock.registry.sources import Sources
from liftlock.tasks import all_at_once
from tests.registry.cncf import cncf
from tests.registry.memory import Memory
from tests.registry.pictures import local_image, tar
from tests.registry.test_distribution import found, quiet, tags
from tests.registry.wire import wired
from tests.test_http_tls import certificate, trusted

pytestmark = pytest.mark.anyio

Make = Callable[..., Distribution]
HOST = "127.0.0.1:5000"
__all__ = ["certificate", "trusted"]  # fixtures

ENVIRONMENTS = ("dev", "staging", "production")


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "layers")


def two_images(folder: Path, cache: LayerCache, size: int = 200_000) -> dict[str, LocalImage]:
    base = tar("base", size)
    return {app: local_image(folder / app, cache, [base, tar(app, size)], app=app) for app in ("sso", "itc")}


def wanted(host: str, app: str) -> dict[str, list[str]]:
    return {f"{host}/{app}-{env}/web": ["abc", *["latest"][: env == "dev"]] for env in ENVIRONMENTS}


async def push_all(client: Distribution, host: str, images: dict[str, LocalImage]) -> None:
    async with all_at_once() as tasks:
        for app, image in images.items():
            tasks.start_soon(client.push, image, wanted(host, app), quiet)


def unique_bytes(images: dict[str, LocalImage]) -> int:
    blobs = {blob.digest: blob.size for image in images.values() for blob in image.schema2.blobs}
    return sum(blobs.values())


async def test_every_unique_blob_leaves_once_for_all_images_and_environments(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    memory = Memory()
    images = two_images(tmp_path, cache)
    await push_all(distribution(memory.transport), HOST, images)
    assert memory.sent_bytes == unique_bytes(images)
    for app, image in images.items():
        for env in ENVIRONMENTS:
            assert memory.manifests[f"{app}-{env}/web", "abc"] == (SCHEMA2, image.schema2.content)
    assert tags(memory, "sso-dev/web") == {"abc", "latest"}


async def test_a_push_without_a_change_asks_once_and_then_tags(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    memory = Memory()
    images = two_images(tmp_path, cache)
    await push_all(distribution(memory.transport), HOST, images)
    memory.requests.clear()
    memory.sent_bytes = 0
    await push_all(distribution(memory.transport), HOST, images)
    assert memory.sent_bytes == 0
    assert sorted(method for method, _ in memory.requests) == ["HEAD"] * 6 + ["PUT"] * 8


async def test_what_only_the_last_repository_has_is_mounted_in_the_first(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    memory = Memory()
    image = two_images(tmp_path, cache)["sso"]
    client = distribution(memory.transport)
    await client.push(image, {f"{HOST}/sso-production/web": ["abc"]}, quiet)
    memory.sent_bytes = 0
    await distribution(memory.transport).push(image, wanted(HOST, "sso"), quiet)
    assert memory.sent_bytes == 0


async def test_no_tag_moves_before_everything_is_there(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    memory = Memory()
    image = two_images(tmp_path, cache)["sso"]

    async def declined() -> None:
        assert all(tags(memory, f"sso-{env}/web") == set() for env in ENVIRONMENTS)
        assert ("sso-production/web", image.schema2.digest.value) in memory.manifests
        raise LiftlockError("another image failed")

    with pytest.raises(LiftlockError, match="another image"):
        await distribution(memory.transport).push(image, wanted(HOST, "sso"), quiet, declined)
    assert tags(memory, "sso-dev/web") == set()


async def test_a_large_blob_goes_in_pieces(
    distribution: Make, tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftlock.registry.uploads.PIECE", 30_000)
    memory = Memory()
    images = two_images(tmp_path, cache)
    await push_all(distribution(memory.transport), HOST, images)
    assert len(memory.seen("PATCH")) == 3 * (100_000 // 30_000)
    assert memory.sent_bytes == unique_bytes(images)


@pytest.mark.parametrize("status", [416, 503, 0])
async def test_an_upload_goes_on_where_the_registry_got_to(
    distribution: Make, tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("liftlock.registry.uploads.PIECE", 30_000)
    failed = 0

    def fail(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        nonlocal failed
        if request.method == "PATCH" and request.headers["content-range"].startswith("30000-") and failed < 2:
            failed += 1
            if status:
                return httpx2.Response(status)
            raise httpx2.ReadError("reset")
        return None

    memory = Memory(lie=fail)
    images = two_images(tmp_path, cache)
    await push_all(distribution(memory.transport), HOST, images)
    assert (failed, memory.sent_bytes) == (2, unique_bytes(images))  # the pieces had arrived


async def test_an_upload_that_the_registry_forgot_is_begun_anew(
    distribution: Make, tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftlock.registry.uploads.PIECE", 30_000)
    memory = Memory()

    def forget(request: httpx2.Request, answer: httpx2.Response) -> None:
        if request.method == "PATCH" and request.headers["content-range"].startswith("60000-"):
            memory.lie = None
            memory._uploads.clear()

    memory.lie = forget
    await push_all(distribution(memory.transport), HOST, two_images(tmp_path, cache))
    assert tags(memory, "itc-production/web") == {"abc"}


async def test_a_registry_that_never_recovers_ends_it_and_no_tag_moves(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    def fail(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        return httpx2.Response(500) if request.method == "PUT" and "digest" in request.url.params else None

    memory = Memory(lie=fail)

    def forget_all(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        memory.blobs.clear()
        return fail(request, answer)

    memory.lie = forget_all
    with pytest.raises(VendorError, match="500"):
        await push_all(distribution(memory.transport), HOST, two_images(tmp_path, cache))
    assert memory.manifests == {}


ELSE = f"sha256:{'0' * 64}"
Change = Callable[[httpx2.Request, httpx2.Response], httpx2.Response | None]


def when(part: str, method: str, **changed: Any) -> Change:
    """Another answer to what `method` asks of paths with `part`."""

    def change(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        if request.method != method or part not in request.url.path:
            return None
        return httpx2.Response(**{"status_code": answer.status_code, **changed})

    return change


def cut_off(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
    """A manifest without its end."""
    if request.method != "GET" or "/manifests/" not in request.url.path:
        return None
    return httpx2.Response(200, content=answer.content[:-20], headers={"content-type": SCHEMA2})


def relabelled(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
    """A manifest that calls itself a page."""
    if request.method != "GET" or "/manifests/" not in request.url.path:
        return None
    return httpx2.Response(200, content=answer.content, headers={"content-type": "text/html"})


WRONG: dict[str, tuple[Change, str]] = {
    "another blob stored": (
        when("/blobs/uploads/", "PUT", headers={"docker-content-digest": ELSE}), f"says that it stored {ELSE}",
    ),
    "another manifest stored": (
        when("/manifests/", "PUT", headers={"docker-content-digest": ELSE}), f"says that it stored {ELSE}",
    ),
    "a manifest that is a page": (relabelled, "its content type is text/html"),
    "a manifest that is cut off": (cut_off, "has the digest sha256:[0-9a-f]{64}, not sha256:"),
    "a redirect loop": (
        when("/manifests/", "HEAD", status_code=307, headers={"location": f"http://{HOST}/v2/x/manifests/y"}),
        "redirects more than",
    ),
    "an upload sent elsewhere": (
        when("/blobs/uploads/", "POST", status_code=307, headers={"location": "https://evil.example/"}), "307",
    ),
    "an upload without an address": (
        when("/blobs/uploads/", "POST", status_code=202, headers={}), "where to upload",
    ),
    "no blob taken": (when("/blobs/uploads/", "PUT", status_code=400), "400"),
}  # fmt: skip


@pytest.mark.parametrize("story", WRONG)
async def test_a_registry_that_answers_wrongly_is_named_and_no_tag_moves(
    distribution: Make, tmp_path: Path, cache: LayerCache, story: str
) -> None:
    lie, why = WRONG[story]
    memory = Memory(lie=lie, says_digest=False)
    with pytest.raises(VendorError, match=why) as caught:
        await push_all(distribution(memory.transport), HOST, two_images(tmp_path, cache))
    assert HOST in caught.value.message
    assert all(tags(memory, f"{app}-{env}/web") == set() for app in ("sso", "itc") for env in ENVIRONMENTS)


@pytest.mark.parametrize(
    ("part", "method"), [("/manifests/", "HEAD"), ("/blobs/", "HEAD"), ("/uploads/", "PUT")]
)
def test_a_registry_that_never_answers_is_given_up_and_no_tag_moves(
    tmp_path: Path, cache: LayerCache, part: str, method: str
) -> None:
    memory = Memory()

    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == method and part in request.url.path:
                await anyio.sleep_forever()
            return await memory(request)

    async def nobody() -> None:
        return None

    def client(vendor: str, base: str) -> Http:
        return Http(vendor, base, transport=Silent())

    def connect(host: str) -> Registry:
        return Registry(host, client(host, f"http://{host}"), nobody, client)

    async def story() -> None:
        image = local_image(tmp_path / "one", cache, [])  # no files: threads do not know the virtual clock
        await Distribution(connect, Sources(cache, {})).push(image, wanted(HOST, "sso"), quiet)

    with pytest.raises(VendorError, match=r"no answer within \d+ s"):
        trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))
    assert all(tags(memory, f"sso-{env}/web") == set() for env in ENVIRONMENTS)


async def test_a_damaged_layer_is_not_sent_to_its_end_and_packed_anew_next_time(
    distribution: Make, tmp_path: Path, cache: LayerCache
) -> None:
    memory = Memory()
    image = two_images(tmp_path, cache)["sso"]
    layer = tar("sso", 200_000)
    packed = cache.find(sha256(layer))
    assert packed is not None
    content = bytearray(packed.part.path.read_bytes())
    content[len(content) // 2] ^= 1
    packed.part.path.write_bytes(content)
    client = distribution(memory.transport)
    with pytest.raises(Damaged) as caught:
        await client.push(image, wanted(HOST, "sso"), quiet)
    assert packed.digest in caught.value.message
    assert tags(memory, "sso-dev/web") == set()
    assert packed.digest not in memory.blobs["sso-dev/web"]
    assert cache.find(sha256(layer)) is None
    await client.push(two_images(tmp_path, cache)["sso"], wanted(HOST, "sso"), quiet)
    assert tags(memory, "sso-dev/web") == {"abc", "latest"}


async def test_a_layer_is_packed_once_and_told_from_a_wrong_one(tmp_path: Path, cache: LayerCache) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(tar("one", 5000))
    part = Part(layer, 0, layer.stat().st_size)
    packed = cache.pack(sha256(layer.read_bytes()), part, "layer.tar")
    assert cache.find(packed.diff_id) == packed
    with pytest.raises(LiftlockError, match=r"layer\.tar does not hold the layer"):
        cache.pack(sha256(b"another"), part, "layer.tar")
    assert cache.find(sha256(b"another")) is None
    layer.write_bytes(packed.part.path.read_bytes()[:-20])
    with pytest.raises(LiftlockError, match=r"layer\.tar"):
        cache.pack(packed.diff_id, Part(layer, 0, layer.stat().st_size), "layer.tar")


def test_the_cache_stands_where_the_desktop_specification_says(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/liftlock")
    assert cache_folder({"XDG_CACHE_HOME": "c", "HOME": "/h"}) == Path("/h/.cache/liftlock")
    assert OSError in packing_errors()


async def test_a_real_registry_is_sent_each_blob_once_and_skopeo_sees_the_same_digests(
    distribution: Make, cncf_registry: str, tmp_path: Path, cache: LayerCache
) -> None:
    images = two_images(tmp_path, cache, 3_000_000)
    async with wired(cncf_registry) as wire:
        await push_all(distribution(), wire.host, images)
        assert unique_bytes(images) < wire.sent_bytes < unique_bytes(images) * 1.02
        before = wire.sent_bytes
        await push_all(distribution(), wire.host, images)
        assert wire.sent_bytes - before < 20_000
    seen = skopeo(f"docker://{cncf_registry}/itc-production/web:abc")
    image = images["itc"]
    assert seen == (image.schema2.digest.value, [layer.digest for layer in image.schema2.layers])


def skopeo(reference: str) -> tuple[str, list[str]]:
    program = shutil.which("skopeo")
    if program is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    told = subprocess.run(
        [program, "inspect", "--tls-verify=false", "--no-tags", reference],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    payload = json.loads(told.stdout)
    return payload["Digest"], payload["Layers"]


async def test_a_broken_connection_to_a_real_registry_is_got_over(
    distribution: Make, cncf_registry: str, tmp_path: Path, cache: LayerCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("liftlock.registry.uploads.PIECE", 400_000)
    image = local_image(tmp_path / "one", cache, [tar("broken off", 4_000_000)])
    async with wired(cncf_registry) as wire:
        wire.breaks_after = 1_000_000
        await distribution().push(image, {f"{wire.host}/broken/web": ["abc"]}, quiet)
        assert wire.breaks_after == float("inf")
    assert (await found(distribution(), f"{cncf_registry}/broken/web", "abc")).digest == image.schema2.digest


async def test_an_interrupted_push_goes_on_with_what_is_missing(
    distribution: Make, cncf_registry: str, tmp_path: Path, cache: LayerCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("liftlock.registry.distribution.TELL_S", 0.0)
    layers = [tar(f"interrupted {n}", 2_000_000) for n in range(8)]
    image = local_image(tmp_path / "one", cache, layers)
    to = {f"{cncf_registry}/interrupted-{env}/web": ["abc"] for env in ENVIRONMENTS}
    with anyio.CancelScope() as scope:

        def interrupt(text: str) -> None:
            if int(text.partition(" ")[0]) >= 12:
                scope.cancel()

        await distribution().push(image, to, interrupt)
    assert scope.cancelled_caught
    assert await distribution().look_up(next(iter(to)), "abc") is None
    async with wired(cncf_registry) as wire:
        await distribution().push(
            image, {key.replace(cncf_registry, wire.host): to[key] for key in to}, quiet
        )
        assert wire.sent_bytes < image.schema2.size_bytes * 0.8
    assert (await found(distribution(), f"{cncf_registry}/interrupted-staging/web", "abc")).image_id == (
        image.image_id
    )


async def test_a_reset_in_the_middle_of_a_piece_costs_the_rest_of_it_alone(
    distribution: Make, sandbox: Http, tmp_path: Path, cache: LayerCache
) -> None:
    """The sandbox's registry keeps what arrived of a piece, as the specification allows."""
    image = local_image(tmp_path / "one", cache, [tar("broken off", 8_000_000)])
    host = sandbox.base.removeprefix("http://")
    async with wired(host) as wire:
        wire.breaks_after = 3_000_000
        client = distribution(login=lambda: ("_", "owner"))
        await client.push(image, {f"{wire.host}/sso-dev/web": ["abc"]}, quiet)
        assert wire.breaks_after == float("inf")
        assert wire.sent_bytes < image.schema2.size_bytes * 1.4


HTPASSWD = "somebody:$2b$04$P3DhjwBLbF2wIGAbRXUPiOQpb6BDBMcCn.aySg26nzN9n6XjOU7.u\n"  # of "secret"


@pytest.mark.usefixtures("trusted")
async def test_a_registry_with_tls_and_passwords_takes_a_push(
    distribution: Make, tmp_path: Path, cache: LayerCache, certificate: Path
) -> None:
    (tmp_path / "registry").mkdir()
    passwords = tmp_path / "htpasswd"
    passwords.write_text(HTPASSWD)
    more = f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n"
    images = two_images(tmp_path, cache)
    with cncf(tmp_path / "registry", more, certificate) as host:
        client = distribution(login=lambda: ("somebody", "secret"), scheme="https")
        await push_all(client, host, images)
        assert (await found(client, f"{host}/sso-staging/web", "abc")).image_id == images["sso"].image_id
        stranger = distribution(login=lambda: ("somebody", "a guess"), scheme="https")
        with pytest.raises(Unauthorized) as caught:
            await push_all(stranger, host, images)
        assert "a guess" not in caught.value.message
