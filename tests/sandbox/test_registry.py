"""The container registry over both of its storages: memory in-process, and a disk behind a TCP port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from tests.sandbox.heroku_client import client_of
from tests.sandbox.images import SCHEMA2, build, digest, push
from tests.sandbox.serving import served

pytestmark = pytest.mark.anyio

REPO = "odb-dev/web"
IMAGE = build(cmd=["run"], files={"a": b"one"})
BLOB = b"some bytes of a layer" * 1000
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(params=["memory", "disk"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    if request.param == "memory":
        cloud = Cloud(None, modelled=True)
        async with cloud.running(), client_of("http://sandbox.localhost", InProcess(cloud)) as client:
            yield client
    else:
        with served(tmp_path / "state") as sync:
            async with client_of(str(sync.base_url)) as client:
                yield client


async def begin(registry: httpx2.AsyncClient, repo: str = REPO) -> str:
    answer = await registry.post(f"/v2/{repo}/blobs/uploads/")
    assert answer.status_code == 202
    return answer.headers["location"]


def codes(answer: httpx2.Response) -> list[str]:
    return [one["code"] for one in answer.json()["errors"]]


async def test_ping_challenges_for_basic_credentials(registry: httpx2.AsyncClient) -> None:
    refused = await registry.get("/v2/", headers={"authorization": ""})
    assert (refused.status_code, codes(refused)) == (401, ["UNAUTHORIZED"])
    assert refused.headers["www-authenticate"].startswith("Basic ")
    for user in ("", "_", "anybody"):
        assert (await registry.get("/v2/", auth=httpx2.BasicAuth(user, "owner"))).status_code == 200
    assert (await registry.get("/v2/", auth=httpx2.BasicAuth("_", "wrong"))).status_code == 401


async def test_pushed_image_is_read_back_byte_for_byte(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    for reference in ("latest", IMAGE.digest):
        url = f"/v2/{REPO}/manifests/{reference}"
        read = await registry.get(url, headers={"accept": SCHEMA2})
        assert (read.content, read.headers["content-type"]) == (IMAGE.manifest, SCHEMA2)
        assert read.headers["docker-content-digest"] == IMAGE.digest
        head = await registry.head(url, headers={"accept": SCHEMA2})
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(IMAGE.manifest)))
    blob = await registry.get(f"/v2/{REPO}/blobs/{IMAGE.id}")
    assert blob.content == IMAGE.config
    head = await registry.head(f"/v2/{REPO}/blobs/{IMAGE.id}")
    assert (head.headers["content-length"], head.headers["docker-content-digest"]) == (
        str(len(IMAGE.config)),
        IMAGE.id,
    )


async def test_accept_has_to_name_the_manifest_s_type(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    answer = await registry.get(f"/v2/{REPO}/manifests/latest", headers={"accept": OCI})
    assert (answer.status_code, codes(answer)) == (404, ["MANIFEST_UNKNOWN"])


async def test_unknown_things_are_404(registry: httpx2.AsyncClient) -> None:
    unknown = "sha256:" + "0" * 64
    for path, code in (
        (f"blobs/{unknown}", "BLOB_UNKNOWN"),
        ("manifests/latest", "MANIFEST_UNKNOWN"),
        ("tags/list", "NAME_UNKNOWN"),
    ):
        answer = await registry.get(f"/v2/{REPO}/{path}")
        assert (answer.status_code, codes(answer)) == (404, [code])
    assert (await registry.head(f"/v2/{REPO}/blobs/{unknown}")).status_code == 404
    answer = await registry.patch(f"/v2/{REPO}/blobs/uploads/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, codes(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


async def test_chunks_have_to_follow_each_other(registry: httpx2.AsyncClient) -> None:
    where = await begin(registry)
    first = await registry.patch(where, content=BLOB[:1000], headers={"content-range": "0-999"})
    assert (first.status_code, first.headers["range"]) == (202, "0-999")
    gap = await registry.patch(
        first.headers["location"], content=b"x", headers={"content-range": "5000-5000"}
    )
    assert gap.status_code == 416
    status = await registry.get(first.headers["location"])
    assert (status.status_code, status.headers["range"]) == (204, "0-999")
    second = await registry.patch(first.headers["location"], content=BLOB[1000:2000])
    put = await registry.put(f"{second.headers['location']}&digest={digest(BLOB)}", content=BLOB[2000:])
    assert (put.status_code, put.headers["docker-content-digest"]) == (201, digest(BLOB))
    assert (await registry.get(put.headers["location"])).content == BLOB


async def test_wrong_digest_is_refused_and_forgotten(registry: httpx2.AsyncClient) -> None:
    where = await begin(registry)
    put = await registry.put(f"{where}&digest={digest(b'other')}", content=BLOB)
    assert (put.status_code, codes(put)) == (400, ["DIGEST_INVALID"])
    assert (await registry.get(where)).status_code == 404
    assert (await registry.head(f"/v2/{REPO}/blobs/{digest(BLOB)}")).status_code == 404


async def test_upload_can_be_given_up(registry: httpx2.AsyncClient) -> None:
    where = await begin(registry)
    assert (await registry.delete(where)).status_code == 204
    assert (await registry.get(where)).status_code == 404


async def test_mount_takes_what_another_repository_has(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    url = f"/v2/odb-staging/web/blobs/uploads/?mount={IMAGE.id}&from="
    begun = await registry.post(url + "nowhere/web")
    assert begun.status_code == 202
    assert (await registry.head(f"/v2/odb-staging/web/blobs/{IMAGE.id}")).status_code == 404
    mounted = await registry.post(url + REPO)
    assert (mounted.status_code, mounted.headers["location"]) == (
        201,
        f"/v2/odb-staging/web/blobs/{IMAGE.id}",
    )
    assert (await registry.get(mounted.headers["location"])).content == IMAGE.config


async def test_every_missing_blob_is_named(registry: httpx2.AsyncClient) -> None:
    put = await registry.put(
        f"/v2/{REPO}/manifests/latest", content=IMAGE.manifest, headers={"content-type": SCHEMA2}
    )
    assert (put.status_code, codes(put)) == (400, ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"])
    assert {one["detail"] for one in put.json()["errors"]} == {IMAGE.id, digest(IMAGE.layers[0])}


async def test_oci_manifest_is_taken_only_by_an_ordinary_registry(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    manifest = IMAGE.manifest.replace(SCHEMA2.encode(), OCI.encode())
    url, headers = f"/v2/{REPO}/manifests/oci", {"content-type": OCI}
    refused = await registry.put(url, content=manifest, headers=headers)
    assert (refused.status_code, codes(refused)) == (415, ["UNSUPPORTED"])
    await registry.put("/_sandbox/settings", json={"registry_any_manifest": True})
    assert (await registry.put(url, content=manifest, headers=headers)).status_code == 201
    index = f'{{"schemaVersion":2,"manifests":[{{"digest":"{digest(manifest)}"}}]}}'.encode()
    headers = {"content-type": "application/vnd.oci.image.index.v1+json"}
    assert (await registry.put(url, content=index, headers=headers)).status_code == 201


async def test_manifest_under_another_digest_is_refused(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    url = f"/v2/{REPO}/manifests/sha256:{'0' * 64}"
    put = await registry.put(url, content=IMAGE.manifest, headers={"content-type": SCHEMA2})
    assert codes(put) == ["DIGEST_INVALID"]
    put = await registry.put(f"/v2/{REPO}/manifests/x", content=b"{", headers={"content-type": SCHEMA2})
    assert codes(put) == ["MANIFEST_INVALID"]


async def test_tags_move_and_are_listed_in_pages(registry: httpx2.AsyncClient) -> None:
    other = build(cmd=["run"], files={"a": b"two"})
    await push(registry, REPO, IMAGE, "latest")
    await push(registry, REPO, IMAGE, "abc")
    await push(registry, REPO, other, "latest")
    listed = await registry.get(f"/v2/{REPO}/tags/list")
    assert listed.json() == {"name": REPO, "tags": ["abc", "latest"]}
    page = await registry.get(f"/v2/{REPO}/tags/list?n=1")
    assert page.json()["tags"] == ["abc"]
    assert page.links["next"]["url"] == f"/v2/{REPO}/tags/list?n=1&last=abc"
    moved = await registry.head(f"/v2/{REPO}/manifests/latest", headers={"accept": SCHEMA2})
    assert moved.headers["docker-content-digest"] == other.digest


async def test_deleted_things_are_gone_from_their_repository_alone(registry: httpx2.AsyncClient) -> None:
    await push(registry, REPO, IMAGE)
    await push(registry, "odb-staging/web", IMAGE)
    assert (await registry.delete(f"/v2/{REPO}/manifests/{IMAGE.digest}")).status_code == 202
    assert (await registry.delete(f"/v2/{REPO}/blobs/{IMAGE.id}")).status_code == 202
    accept = {"accept": SCHEMA2}
    assert (await registry.head(f"/v2/{REPO}/manifests/latest", headers=accept)).status_code == 404
    assert (await registry.head(f"/v2/{REPO}/blobs/{IMAGE.id}")).status_code == 404
    kept = await registry.get("/v2/odb-staging/web/manifests/latest", headers=accept)
    assert kept.content == IMAGE.manifest
    assert (await registry.get(f"/v2/odb-staging/web/blobs/{IMAGE.id}")).content == IMAGE.config


async def test_blob_is_stored_once(tmp_path: Path) -> None:
    with served(tmp_path / "state") as sync:
        async with client_of(str(sync.base_url)) as client:
            await push(client, REPO, IMAGE)
            await push(client, "odb-staging/web", IMAGE)
    stored = [path for path in (tmp_path / "state" / "blobs").rglob("*") if path.is_file()]
    assert len(stored) == 3
    assert list((tmp_path / "state" / "uploads").iterdir()) == []
