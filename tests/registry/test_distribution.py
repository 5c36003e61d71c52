"""Looking images up, copying and pushing them: the same bytes arrive, or nothing moves."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trio
import trio.testing

from liftlock.errors import ArtifactMissing, BadAnswer, LiftlockError, Unauthorized, Unreachable, VendorError
from liftlock.http import Http
from liftlock.model import ImageId, ProcessSource
from liftlock.ports import RegistryImage
from liftlock.registry.connection import Registry
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.manifests import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA2,
    sha256,
)
from liftlock.registry.sources import Sources
from tests.registry.memory import Memory

pytestmark = pytest.mark.anyio

Make = Callable[..., Distribution]
HOST = "127.0.0.1:5000"
OTHER = "localhost:5001"
LAYERS = (b"layer one " * 1000, b"layer two " * 50_000)
CONFIG = b'{"architecture":"amd64","os":"linux"}'


def quiet(_: str) -> None:
    pass


def an_image(memory: Memory, repository: str, tag: str, *, oci: bool = False) -> str:
    """Put an image into the registry; returns its manifest's digest."""
    layer_type = "application/vnd.oci.image.layer.v1.tar+gzip" if oci else DOCKER_LAYER
    media_type = OCI_MANIFEST if oci else SCHEMA2
    payload = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": OCI_CONFIG if oci else DOCKER_CONFIG,
            "digest": memory.add_blob(repository, CONFIG),
            "size": len(CONFIG),
        },
        "layers": [
            {"mediaType": layer_type, "digest": memory.add_blob(repository, layer), "size": len(layer)}
            for layer in LAYERS
        ],
    }
    return memory.add_manifest(repository, tag, media_type, payload)


async def push_directory(
    client: Distribution, directory: Path, command: list[str], labels: dict[str, list[str]]
) -> RegistryImage:
    source = ProcessSource(directory=directory.name, command=tuple(command))
    return await client.publish(source, directory.parent, labels, quiet)


def tags(memory: Memory, repository: str) -> set[str]:
    return {tag for name, tag in memory.manifests if name == repository and not tag.startswith("sha256:")}


async def found(client: Distribution, repository: str, reference: str) -> RegistryImage:
    image = await client.look_up(repository, reference)
    assert image is not None
    return image


async def test_an_image_is_looked_up_by_tag_and_by_digest_in_one_request(distribution: Make) -> None:
    memory = Memory()
    digest = an_image(memory, "sso-dev/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{HOST}/sso-dev/web", "abc")
    assert image == RegistryImage(
        f"{HOST}/sso-dev/web",
        image.digest,
        ImageId(sha256(CONFIG)),
        SCHEMA2,
        sum(map(len, (CONFIG, *LAYERS))),
    )
    assert image.digest.value == digest
    assert len(memory.requests) == 1
    assert await found(client, f"{HOST}/sso-dev/web", digest) == image
    assert await client.look_up(f"{HOST}/sso-dev/web", "absent") is None
    assert await client.look_up(f"{HOST}/sso-staging/web", digest) is None
    assert await client.has_config(f"{HOST}/sso-dev/web", image.image_id)
    assert not await client.has_config(f"{HOST}/sso-staging/web", image.image_id)


async def test_an_index_stands_for_its_linux_amd64_image(distribution: Make) -> None:
    memory = Memory()
    image = an_image(memory, "x/web", "plain", oci=True)

    def entry(os: str, architecture: str, digest: str = f"sha256:{'0' * 64}") -> dict[str, Any]:
        return {
            "mediaType": OCI_MANIFEST,
            "digest": digest,
            "size": 1,
            "platform": {"os": os, "architecture": architecture},
        }

    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry("unknown", "unknown"), entry("linux", "arm64"), entry("linux", "amd64", image)],
    }
    digest = memory.add_manifest("x/web", "abc", OCI_INDEX, index)
    client = distribution(memory.transport)
    looked_up = await found(client, f"{HOST}/x/web", "abc")
    assert (looked_up.digest.value, looked_up.image_id.value) == (digest, sha256(CONFIG))
    copied = await client.copy(looked_up, f"{HOST}/y/web", "abc", quiet)
    assert copied.image_id == looked_up.image_id
    index["manifests"] = [entry("linux", "arm64")]
    memory.add_manifest("x/web", "arm", OCI_INDEX, index)
    with pytest.raises(BadAnswer, match="no image for linux/amd64, only for linux/arm64"):
        await client.look_up(f"{HOST}/x/web", "arm")


async def test_a_copy_within_one_registry_sends_no_bytes(distribution: Make) -> None:
    memory = Memory()
    digest = an_image(memory, "sso-dev/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{HOST}/sso-dev/web", "abc")
    memory.requests.clear()
    told: list[str] = []
    copied = await client.copy(image, f"{HOST}/sso-staging/web", "abc", told.append)
    assert copied == replace(image, repository=f"{HOST}/sso-staging/web")
    assert memory.sent_bytes == 0
    assert [method for method, _ in memory.requests] == ["POST"] * 3 + ["PUT"]
    assert memory.manifests["sso-staging/web", "abc"] == memory.manifests["sso-dev/web", digest]
    assert told[-1] == f"3 of 3 blobs at {HOST}/sso-staging/web"


async def test_a_registry_that_does_not_mount_is_sent_what_it_lacks(distribution: Make) -> None:
    memory = Memory(mounts=False)
    an_image(memory, "sso-dev/web", "abc")
    memory.add_blob("sso-staging/web", LAYERS[1])
    client = distribution(memory.transport)
    image = await found(client, f"{HOST}/sso-dev/web", "abc")
    await client.copy(image, f"{HOST}/sso-staging/web", "abc", quiet)
    assert memory.sent_bytes == len(CONFIG) + len(LAYERS[0])
    assert len(memory.seen("DELETE", "uploads")) == 1
    assert memory.blobs["sso-staging/web"] == memory.blobs["sso-dev/web"]


async def test_a_refused_mount_is_an_upload(distribution: Make) -> None:
    def refuse(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        return httpx2.Response(405) if "mount=" in str(request.url) else None

    memory = Memory(mounts=False, lie=refuse)
    an_image(memory, "a/web", "abc")
    client = distribution(memory.transport)
    await client.copy(await found(client, f"{HOST}/a/web", "abc"), f"{HOST}/b/web", "abc", quiet)
    assert memory.sent_bytes == len(CONFIG) + sum(map(len, LAYERS))


async def test_an_oci_image_becomes_schema_2_where_nothing_else_is_taken(distribution: Make) -> None:
    memory = Memory()
    digest = an_image(memory, "archive/web", "abc", oci=True)
    client = distribution(memory.transport, schema2_only=(HOST,))
    image = await found(client, f"{OTHER}/archive/web", "abc")
    copied = await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    media_type, content = memory.manifests["sso-dev/web", "abc"]
    assert media_type == copied.media_type == SCHEMA2
    assert copied.image_id == image.image_id
    assert copied.digest.value != digest
    assert [layer["mediaType"] for layer in json.loads(content)["layers"]] == [DOCKER_LAYER] * 2
    assert memory.blobs["sso-dev/web"] == memory.blobs["archive/web"]
    assert tags(memory, "sso-dev/web") == {"abc"}


async def test_a_registry_that_confirms_no_digest_is_asked(distribution: Make) -> None:
    memory = Memory(says_digest=False)
    an_image(memory, "a/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{HOST}/a/web", "abc")
    await client.copy(image, f"{HOST}/b/web", "abc", quiet)
    assert memory.seen("GET", "b/web/manifests/abc")


def damaged(**change: Any) -> Callable[[httpx2.Request, httpx2.Response], httpx2.Response | None]:
    """A lie about one kind of answer: `blob`, `config` or `manifest` content, or its type."""

    def lie(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        path = request.url.path
        if request.method != "GET" or answer.status_code != 200:
            return None
        if "/blobs/" in path and "blob" in change and sha256(LAYERS[1]) in path:
            return httpx2.Response(200, content=change["blob"])
        if "/manifests/" in path and "content_type" in change:
            return httpx2.Response(
                200, content=answer.content, headers={"content-type": change["content_type"]}
            )
        if "/manifests/sha256" in path and "manifest" in change:
            return httpx2.Response(200, content=change["manifest"], headers={"content-type": SCHEMA2})
        return None

    return lie


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (LAYERS[1][:-1], "has 499999 bytes of 500000"),
        (LAYERS[1] + b"x", "has 500001 bytes of 500000"),
        (b"Layer two " * 50_000, "has the digest sha256:"),
        (b"", "has 0 bytes of 500000"),
    ],
    ids=["truncated", "too long", "wrong digest", "empty"],
)
async def test_a_wrong_blob_is_named_and_no_tag_moves(distribution: Make, blob: bytes, why: str) -> None:
    memory = Memory(lie=damaged(blob=blob))
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{OTHER}/archive/web", "abc")
    with pytest.raises(BadAnswer) as caught:
        await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert why in caught.value.message
    assert sha256(LAYERS[1]) in caught.value.message
    assert tags(memory, "sso-dev/web") == set()
    assert sha256(LAYERS[1]) not in memory.blobs["sso-dev/web"]


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/json", "", "application/vnd.docker.plugin.v1+json"]
)
async def test_a_wrong_content_type_is_named(distribution: Make, content_type: str) -> None:
    memory = Memory(lie=damaged(content_type=content_type))
    an_image(memory, "a/web", "abc")
    with pytest.raises(BadAnswer, match="is not an image: its content type is"):
        await distribution(memory.transport).look_up(f"{HOST}/a/web", "abc")


async def test_a_manifest_of_another_digest_is_refused(distribution: Make) -> None:
    memory = Memory()
    digest = an_image(memory, "a/web", "abc")
    memory.lie = damaged(manifest=b"{}")
    with pytest.raises(BadAnswer, match=f"has the digest {sha256(b'{}')}, not {digest}"):
        await distribution(memory.transport).look_up(f"{HOST}/a/web", digest)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ([], "not a JSON object"),
        ({"mediaType": OCI_MANIFEST}, "calls itself"),
        ({"layers": []}, "config is missing"),
        ({"config": {"digest": "md5:1", "size": 1}}, "no SHA-256 digest"),
        ({"config": {"digest": f"sha256:{'0' * 64}", "size": "1"}}, "no size"),
        ({"config": {"digest": f"sha256:{'0' * 64}", "size": -1}}, "no size"),
        ({"config": {"digest": f"sha256:{'0' * 64}", "size": True}}, "no size"),
        (
            {"config": {"digest": f"sha256:{'0' * 64}", "size": 1, "mediaType": "x/y"}},
            "another kind of artifact",
        ),
        ({"config": {"digest": f"sha256:{'0' * 64}", "size": 1, "mediaType": DOCKER_CONFIG}}, "no layers"),
        (
            {
                "config": {"digest": f"sha256:{'0' * 64}", "size": 1, "mediaType": DOCKER_CONFIG},
                "layers": [3],
            },
            "layers[0] is missing",
        ),
    ],
)
async def test_a_broken_manifest_says_what_is_wrong(distribution: Make, payload: Any, why: str) -> None:
    memory = Memory()
    memory.add_manifest("a/web", "abc", SCHEMA2, payload)
    with pytest.raises(BadAnswer) as caught:
        await distribution(memory.transport).look_up(f"{HOST}/a/web", "abc")
    assert why in caught.value.message


async def test_a_blob_whose_upload_was_lost_is_looked_for_before_it_is_sent_again(distribution: Make) -> None:
    lost = 0

    def lose(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        nonlocal lost
        if request.method == "PUT" and "/uploads/" in request.url.path and lost < 2:
            lost += 1
            raise httpx2.ReadError("reset")
        return None

    memory = Memory(lie=lose)
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{OTHER}/archive/web", "abc")
    await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert memory.sent_bytes == len(CONFIG) + sum(map(len, LAYERS))
    assert tags(memory, "sso-dev/web") == {"abc"}


async def test_an_upload_that_failed_is_begun_again(distribution: Make) -> None:
    failed = 0

    def fail(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        nonlocal failed
        if request.method == "PUT" and sha256(LAYERS[1]) in str(request.url.query) and failed < 2:
            failed += 1
            digest = request.url.params["digest"]
            memory.blobs["sso-dev/web"].pop(digest)
            return httpx2.Response(500)
        return None

    memory = Memory(lie=fail)
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{OTHER}/archive/web", "abc")
    await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert failed == 2
    assert tags(memory, "sso-dev/web") == {"abc"}


async def test_an_image_that_was_removed_meanwhile_is_missing(distribution: Make) -> None:
    memory = Memory()
    an_image(memory, "a/web", "abc")
    image = await found(distribution(memory.transport), f"{HOST}/a/web", "abc")
    memory.manifests.clear()
    with pytest.raises(ArtifactMissing, match="no longer has the image"):
        await distribution(memory.transport).copy(image, f"{HOST}/b/web", "abc", quiet)


async def test_a_registry_that_asks_for_a_token_gets_one_for_each_scope(distribution: Make) -> None:
    memory = Memory(token="t0ken")
    an_image(memory, "a/web", "abc")
    client = distribution(memory.transport, login=lambda: ("user", "secret"))
    image = await found(client, f"{HOST}/a/web", "abc")
    await client.copy(image, f"{HOST}/b/web", "abc", quiet)
    assert sorted(memory.tokens_given) == [
        "repository:a/web:pull",
        "repository:a/web:pull",
        "repository:b/web:pull,push",
    ]


async def test_a_wrong_password_is_unauthorized(distribution: Make) -> None:
    memory = Memory(token="t0ken")
    with pytest.raises(Unauthorized) as caught:
        await distribution(memory.transport, login=lambda: ("user", "wrong-pass")).look_up(
            f"{HOST}/a/web", "abc"
        )
    assert "wrong-pass" not in caught.value.message


async def test_a_token_that_is_refused_is_fetched_once_more_and_no_oftener(distribution: Make) -> None:
    memory = Memory(token="t0ken")
    an_image(memory, "a/web", "abc")
    client = distribution(memory.transport, login=lambda: ("user", "secret"))
    await client.look_up(f"{HOST}/a/web", "abc")
    memory.token = "changed"
    assert await client.look_up(f"{HOST}/a/web", "abc") is not None
    memory.lie = lambda *_: httpx2.Response(401, headers={"www-authenticate": "Bearer realm=https://x/token"})
    with pytest.raises(VendorError):
        await client.look_up(f"{HOST}/a/web", "abc")


async def test_basic_is_sent_before_it_is_asked_for(distribution: Make) -> None:
    seen: list[str] = []

    def watch(request: httpx2.Request, answer: httpx2.Response) -> None:
        seen.append(request.headers.get("authorization", ""))

    memory = Memory(lie=watch)
    an_image(memory, "a/web", "abc")
    await distribution(memory.transport, login=lambda: ("_", "secret")).look_up(f"{HOST}/a/web", "abc")
    assert seen == ["Basic XzpzZWNyZXQ="]


@pytest.mark.parametrize("realm", ["http://evil.example/token", "ftp://x/token", "", "https://["])
async def test_an_unsafe_token_service_is_refused(distribution: Make, realm: str) -> None:
    challenge = f'Bearer realm="{realm}",service="x"'

    def refuse(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, headers={"www-authenticate": challenge})

    client = distribution(httpx2.MockTransport(refuse), login=lambda: ("_", "secret"))
    with pytest.raises(LiftlockError):
        await client.look_up(f"{HOST}/a/web", "abc")


async def test_a_directory_is_pushed_once_and_mounted_everywhere_else(
    distribution: Make, service: Path
) -> None:
    memory = Memory()
    client = distribution(memory.transport)
    repositories = [f"{HOST}/sso-{env}/web" for env in ("dev", "staging", "production")]
    labels = {repositories[0]: ["abc", "latest"], repositories[1]: ["abc"], repositories[2]: ["abc"]}
    image = await push_directory(client, service, ["./start"], labels)
    assert memory.sent_bytes == image.size_bytes
    for repository in repositories:
        assert (await found(client, repository, "abc")).digest == image.digest
    assert tags(memory, "sso-dev/web") == {"abc", "latest"}
    first_tag = next(n for n, (m, path) in enumerate(memory.requests) if m == "PUT" and "/manifests/" in path)
    assert all("/manifests/" in path for _, path in memory.requests[first_tag:])
    memory.sent_bytes = 0
    again = await push_directory(client, service, ["./start"], labels)
    assert (again, memory.sent_bytes) == (image, 0)


async def test_copy_and_push_agree_with_a_real_registry(
    distribution: Make, cncf_registry: str, service: Path
) -> None:
    client = distribution()
    repositories = [f"{cncf_registry}/real-{env}/web" for env in ("dev", "staging")]
    pushed = await push_directory(client, service, ["./start"], {name: ["abc"] for name in repositories})
    for repository in repositories:
        assert (await found(distribution(), repository, "abc")).digest == pushed.digest
    image = await found(client, repositories[1], pushed.digest.value)
    copied = await client.copy(image, f"{cncf_registry}/real-production/web", "abc", quiet)
    assert (copied.digest, copied.image_id) == (pushed.digest, pushed.image_id)
    assert await client.has_config(f"{cncf_registry}/real-production/web", pushed.image_id)
    assert await client.look_up(f"{cncf_registry}/real-production/web", "absent") is None


async def test_an_independent_client_sees_the_same_digest(
    distribution: Make, cncf_registry: str, service: Path
) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed")
    repository = f"{cncf_registry}/seen/web"
    pushed = await push_directory(distribution(), service, ["./start"], {repository: ["abc"]})
    shown = await anyio.run_process(
        [skopeo, "inspect", "--tls-verify=false", "--raw", f"docker://{repository}:abc"]
    )
    assert sha256(shown.stdout) == pushed.digest.value


def elsewhere(location: str) -> Callable[[httpx2.Request, httpx2.Response], httpx2.Response | None]:
    """Blobs are elsewhere, as registries with a content network have them."""

    def lie(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        if request.method != "GET" or "/blobs/" not in request.url.path or request.url.host == "cdn.example":
            return None
        return httpx2.Response(307, headers={"location": location + request.url.path})

    return lie


async def test_a_blob_is_fetched_from_elsewhere_without_the_login(distribution: Make) -> None:
    memory = Memory()
    an_image(memory, "archive/web", "abc")
    logins: dict[str, set[str | None]] = {}

    def watch(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        logins.setdefault(request.url.host, set()).add(request.headers.get("authorization"))
        return elsewhere("https://cdn.example")(request, answer)

    memory.lie = watch
    client = distribution(memory.transport, login=lambda: ("_", "secret"))
    image = await found(client, f"{OTHER}/archive/web", "abc")
    await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert logins["cdn.example"] == {None}
    assert logins["localhost"] == {"Basic XzpzZWNyZXQ="}


@pytest.mark.parametrize("location", [f"http://{OTHER}", "http://cdn.example"], ids=["loop", "plain http"])
async def test_a_redirect_that_leads_nowhere_moves_no_tag(distribution: Make, location: str) -> None:
    memory = Memory(lie=elsewhere(location))
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{OTHER}/archive/web", "abc")
    with pytest.raises(BadAnswer, match="redirects"):
        await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert tags(memory, "sso-dev/web") == set()


@pytest.mark.parametrize("times", [2, 99])
async def test_a_download_that_breaks_off_is_begun_again(distribution: Make, times: int) -> None:
    broken = 0

    def cut(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        nonlocal broken
        if request.method != "GET" or sha256(LAYERS[1]) not in request.url.path or broken == times:
            return None
        broken += 1

        async def some() -> AsyncIterator[bytes]:
            yield LAYERS[1][:1000]
            raise httpx2.RemoteProtocolError("peer closed the connection")

        return httpx2.Response(200, content=some())

    memory = Memory(lie=cut)
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport)
    image = await found(client, f"{OTHER}/archive/web", "abc")
    if times == 2:
        await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
        assert tags(memory, "sso-dev/web") == {"abc"}
        return
    with pytest.raises(Unreachable, match="peer closed"):
        await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert tags(memory, "sso-dev/web") == set()


async def test_a_target_that_claims_another_digest_is_not_believed(distribution: Make) -> None:
    other = f"sha256:{'0' * 64}"

    def claim(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        if request.method == "PUT" and "/manifests/" in request.url.path:
            return httpx2.Response(201, headers={"docker-content-digest": other})
        return None

    memory = Memory(lie=claim)
    an_image(memory, "a/web", "abc")
    client = distribution(memory.transport)
    with pytest.raises(BadAnswer, match=f"says that it stored {other}"):
        await client.copy(await found(client, f"{HOST}/a/web", "abc"), f"{HOST}/b/web", "abc", quiet)


@pytest.mark.parametrize("location", ["", "https://evil.example/upload", "http://["])
async def test_an_upload_elsewhere_is_refused(distribution: Make, location: str) -> None:
    def send_away(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response | None:
        if request.method == "POST":
            return httpx2.Response(202, headers={"location": location} if location else {})
        return None

    memory = Memory(lie=send_away)
    an_image(memory, "archive/web", "abc")
    client = distribution(memory.transport, login=lambda: ("_", "secret"))
    image = await found(client, f"{OTHER}/archive/web", "abc")
    with pytest.raises(BadAnswer, match=r"another host|where to upload|no address"):
        await client.copy(image, f"{HOST}/sso-dev/web", "abc", quiet)
    assert not any("evil" in path for _, path in memory.requests)


def test_a_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    memory = Memory(token="t0ken")
    an_image(memory, "a/web", "abc")

    def connect(host: str) -> Registry:
        def client(vendor: str, base: str) -> Http:
            return Http(vendor, base, transport=memory.transport)

        async def login() -> tuple[str, str]:
            return "u", "secret"

        return Registry(host, client(host, f"http://{host}"), login, client)

    async def story() -> None:
        client = Distribution(connect, Sources(LayerCache(tmp_path), {}))
        for wait, fetched in ((0, 1), (200, 1), (200, 2)):
            await anyio.sleep(wait)
            await client.look_up(f"{HOST}/a/web", "abc")
            assert len(memory.tokens_given) == fetched

    trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))
    refused = [path for method, path in memory.requests if method == "GET" and "/manifests/" in path]
    assert len(refused) == 4
