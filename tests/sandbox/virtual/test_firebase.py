"""Firebase Hosting as clients see it, in-process on a virtual clock."""

import gzip
from typing import Any

import anyio
import httpx2
import pytest

from tests.sandbox.worlds import file_map

pytestmark = pytest.mark.anyio

DEV, PROD = "/v1beta1/projects/-/sites/explore-dev", "/v1beta1/sites/explore-prod"


async def deploy(
    client: httpx2.AsyncClient, files: dict[str, str], config: dict[str, Any] | None = None, site: str = DEV
) -> Any:
    """Create, populate, upload what is wanted, finalize; gives the version."""
    version = (await client.post(f"{site}/versions", json={"status": "CREATED", "labels": {"a": "b"}})).json()
    names, blobs = file_map(files)
    wanted = (await client.post(f"/v1beta1/{version['name']}:populateFiles", json={"files": names})).json()
    for digest in wanted.get("uploadRequiredHashes", []):
        put = await client.post(f"{wanted['uploadUrl']}/{digest}", content=blobs[digest])
        assert put.status_code == 200
    body = {"status": "FINALIZED", "config": config or {}}
    done = await client.patch(f"/v1beta1/{version['name']}?updateMask=status,config", json=body)
    assert done.status_code == 200, done.text
    return done.json()


async def release(
    client: httpx2.AsyncClient, version: Any, site: str = DEV, channel: str = "live", **body: Any
) -> Any:
    params = {"versionName": version["name"]} if version else {}
    answer = await client.post(f"{site}/channels/{channel}/releases", params=params, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def live(client: httpx2.AsyncClient, site: str = DEV) -> Any:
    return (await client.get(f"{site}/channels/live")).json()


async def test_new_site_has_a_live_channel_without_a_release(client: httpx2.AsyncClient) -> None:
    seen = await live(client)
    assert seen["name"] == "sites/explore-dev/channels/live"
    assert "release" not in seen
    assert (await client.get("/_sites/explore-dev/")).status_code == 404


async def test_deployed_version_is_live(client: httpx2.AsyncClient) -> None:
    version = await deploy(client, {"/index.html": "<p>one</p>"}, {"cleanUrls": True})
    assert (version["status"], version["fileCount"]) == ("FINALIZED", "1")
    assert int(version["versionBytes"]) == len(gzip.compress(b"<p>one</p>"))
    made = await release(client, version, message="hello")
    assert (made["type"], made["message"]) == ("DEPLOY", "hello")
    seen = (await live(client))["release"]["version"]
    assert (seen["name"], seen["config"], seen["fileCount"]) == (version["name"], {"cleanUrls": True}, "1")
    assert (await client.get("/_sites/explore-dev/")).text == "<p>one</p>"


async def test_known_files_are_not_asked_for_again(client: httpx2.AsyncClient) -> None:
    await deploy(client, {"/index.html": "one"})
    version = (await client.post(f"{DEV}/versions", json={})).json()
    names, _ = file_map({"/index.html": "one"})
    answer = await client.post(f"/v1beta1/{version['name']}:populateFiles", json={"files": names})
    assert "uploadRequiredHashes" not in answer.json()


async def test_version_is_not_finalized_before_its_files_are_there(client: httpx2.AsyncClient) -> None:
    version = (await client.post(f"{DEV}/versions", json={})).json()
    url = f"/v1beta1/{version['name']}"
    names, blobs = file_map({"/a": "a"})
    wanted = (await client.post(f"{url}:populateFiles", json={"files": names})).json()
    refused = await client.patch(f"{url}?updateMask=status", json={"status": "FINALIZED"})
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert (await client.get(f"{url}/files")).json()["files"][0]["status"] == "EXPECTED"
    wrong = await client.post(f"{wanted['uploadUrl']}/{names['/a']}", content=b"other")
    assert wrong.status_code == 400
    await client.post(f"{wanted['uploadUrl']}/{names['/a']}", content=blobs[names["/a"]])
    assert (await client.patch(f"{url}?updateMask=status", json={"status": "FINALIZED"})).status_code == 200
    assert (await client.post(f"{url}:populateFiles", json={"files": names})).status_code == 400


async def test_unknown_configuration_is_refused(client: httpx2.AsyncClient) -> None:
    version = (await client.post(f"{DEV}/versions", json={})).json()
    config = {"rewrites": [{"glob": "**", "destination": "/index.html"}]}
    answer = await client.patch(f"/v1beta1/{version['name']}?updateMask=config", json={"config": config})
    assert answer.status_code == 400
    assert "destination" in answer.json()["error"]["message"]


async def test_clone_takes_its_time_and_has_the_same_content(client: httpx2.AsyncClient) -> None:
    source = await deploy(client, {"/index.html": "one", "/x.js": "1"}, {"cleanUrls": True})
    await client.put("/_sandbox/settings", json={"clone_s": 10})
    body = {"sourceVersion": source["name"], "finalize": True}
    operation = (await client.post(f"{PROD}/versions:clone", json=body)).json()
    assert operation["done"] is False
    await anyio.sleep(9)
    assert (await client.get(f"/v1beta1/{operation['name']}")).json()["done"] is False
    await anyio.sleep(2)
    done = (await client.get(f"/v1beta1/{operation['name']}")).json()
    clone = done["response"]
    assert clone["name"].startswith("sites/explore-prod/versions/")
    assert (clone["status"], clone["fileCount"], clone["config"]) == ("FINALIZED", "2", {"cleanUrls": True})
    files = [(await client.get(f"/v1beta1/{v['name']}/files")).json()["files"] for v in (source, clone)]
    assert files[0] == files[1]
    await release(client, source)
    await release(client, clone, PROD)
    state = (await client.get("/_sandbox/state")).json()["firebase"]["sites"]
    assert state["explore-dev"]["content_hash"] == state["explore-prod"]["content_hash"]


async def test_clone_of_nothing_is_refused(client: httpx2.AsyncClient) -> None:
    body = {"sourceVersion": "sites/explore-dev/versions/none", "finalize": True}
    answer = await client.post(f"{PROD}/versions:clone", json=body)
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}
    }


async def test_only_finalized_versions_of_the_site_are_released(client: httpx2.AsyncClient) -> None:
    fresh = (await client.post(f"{DEV}/versions", json={})).json()
    url = f"{DEV}/channels/live/releases"
    assert (await client.post(url, params={"versionName": fresh["name"]})).status_code == 400
    other = await deploy(client, {"/a": "a"}, site=PROD)
    assert (await client.post(url, params={"versionName": other["name"]})).status_code == 400


async def test_rollback_and_disable(client: httpx2.AsyncClient) -> None:
    one, two = [await deploy(client, {"/index.html": text}) for text in ("one", "two")]
    await release(client, one)
    await release(client, two)
    assert (await release(client, one))["type"] == "ROLLBACK"
    assert (await client.get("/_sites/explore-dev/")).text == "one"
    off = await release(client, None, type="SITE_DISABLE")
    assert "version" not in off
    gone = await client.get("/_sites/explore-dev/")
    assert (gone.status_code, "switched it off" in gone.text) == (404, True)
    history = (await client.get(f"{DEV}/channels/live/releases", params={"pageSize": 2})).json()
    assert [row["type"] for row in history["releases"]] == ["SITE_DISABLE", "ROLLBACK"]
    rest = await client.get(f"{DEV}/channels/live/releases", params={"pageToken": history["nextPageToken"]})
    assert [row["type"] for row in rest.json()["releases"]] == ["DEPLOY", "DEPLOY"]


async def test_preview_channels(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"{DEV}/channels/pr-1")).status_code == 404
    made = await client.post(f"{DEV}/channels", params={"channelId": "pr/1"}, json={"ttl": "604800s"})
    assert made.json()["name"] == "sites/explore-dev/channels/pr-1"
    assert "expireTime" in made.json()
    await release(client, await deploy(client, {"/a": "a"}), channel="pr-1")
    assert "release" not in await live(client)


async def test_files_are_paged(client: httpx2.AsyncClient) -> None:
    version = await deploy(client, {f"/{n:02}.txt": str(n) for n in range(5)})
    seen, token = [], None
    while True:
        params = {"pageSize": 2} | ({"pageToken": token} if token else {})
        answer = (await client.get(f"/v1beta1/{version['name']}/files", params=params)).json()
        seen += [row["path"] for row in answer["files"]]
        token = answer.get("nextPageToken")
        if not token:
            break
    assert seen == [f"/{n:02}.txt" for n in range(5)]


async def test_site_tells_its_project(client: httpx2.AsyncClient) -> None:
    site = (await client.get(DEV)).json()
    assert site["name"] == "projects/observatory/sites/explore-dev"
    assert (await client.get("/v1beta1/sites/none")).status_code == 404
    listed = (await client.get("/v1beta1/projects/observatory/sites")).json()["sites"]
    assert len(listed) == 2


async def test_credentials_are_asked_for_in_googles_words(client: httpx2.AsyncClient) -> None:
    answer = await client.get(DEV, headers={"authorization": "Bearer nobody"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
