"""GitHub as clients see it, in-process on a virtual clock."""

import base64
import io
import tarfile
from typing import Any

import anyio
import httpx2
import pytest

from tests.sandbox.worlds import COMMITS, DEPLOYMENT, REPO, A, B, C, D

pytestmark = pytest.mark.anyio


async def deploy(client: httpx2.AsyncClient, **more: Any) -> Any:
    answer = await client.post(f"{REPO}/deployments", json={**DEPLOYMENT, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def set_state(client: httpx2.AsyncClient, deployment: Any, state: str, **more: Any) -> Any:
    url = f"{REPO}/deployments/{deployment['id']}/statuses"
    answer = await client.post(url, json={"state": state, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def states(client: httpx2.AsyncClient, deployment: Any) -> Any:
    return [row["state"] for row in (await client.get(deployment["statuses_url"])).json()]


async def test_deployment_keeps_what_was_sent(client: httpx2.AsyncClient) -> None:
    made = await deploy(client, payload={"docker_image_shas": {"web": "sha256:1"}}, description="x")
    read = (await client.get(made["url"])).json()
    assert read == made
    assert read["payload"] == {"docker_image_shas": {"web": "sha256:1"}}
    assert (read["sha"], read["task"], read["environment"]) == (C, "deploy:SSO", "staging")
    assert read["creator"]["login"] == "owner"
    assert read["production_environment"] is False


async def test_string_payload_stays_a_string(client: httpx2.AsyncClient) -> None:
    assert (await deploy(client, payload='{"a": 1}'))["payload"] == '{"a": 1}'


async def test_deployment_of_an_unknown_ref_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"{REPO}/deployments", json={**DEPLOYMENT, "ref": "nowhere"})
    assert answer.status_code == 422
    assert answer.json()["message"] == "No ref found for: nowhere"


async def test_missing_ref_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{REPO}/deployments", json={"task": "x"})).status_code == 422


async def test_auto_merge_merges_a_branch_that_is_behind(client: httpx2.AsyncClient) -> None:
    await client.post(f"{REPO}/git/refs", json={"ref": "refs/heads/topic", "sha": A})
    answer = await client.post(f"{REPO}/deployments", json={"ref": "topic", "required_contexts": []})
    assert answer.status_code == 202
    assert answer.json() == {"message": "Auto-merged main into topic on deployment."}
    assert (await client.get(f"{REPO}/deployments")).json() == []


async def test_auto_merge_of_a_commit_that_is_behind_conflicts(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"{REPO}/deployments", json={"ref": A, "required_contexts": []})
    assert answer.status_code == 409


async def test_required_contexts_default_to_all_of_them(client: httpx2.AsyncClient) -> None:
    await client.post(f"{REPO}/statuses/{C}", json={"state": "failure", "context": "ci/x"})
    asked = {key: value for key, value in DEPLOYMENT.items() if key != "required_contexts"}
    answer = await client.post(f"{REPO}/deployments", json=asked)
    assert answer.status_code == 409
    assert answer.json()["message"] == f"Conflict: Commit status checks failed for {C}."
    assert answer.json()["errors"][0]["contexts"] == [{"context": "ci/x", "state": "failure"}]
    await deploy(client, required_contexts=[])


async def test_lists_are_newest_first_filtered_and_paged(client: httpx2.AsyncClient) -> None:
    made = [await deploy(client, environment=env) for env in ("dev", "staging", "dev", "dev")]
    listed = (await client.get(f"{REPO}/deployments", params={"environment": "dev"})).json()
    assert [row["id"] for row in listed] == [made[i]["id"] for i in (3, 2, 0)]
    first = await client.get(f"{REPO}/deployments", params={"environment": "dev", "per_page": 2})
    assert len(first.json()) == 2
    assert "next" in first.links
    second = await client.get(first.links["next"]["url"])
    assert [row["id"] for row in second.json()] == [made[0]["id"]]
    assert "next" not in second.links


async def test_listing_may_lag_behind(client: httpx2.AsyncClient) -> None:
    await client.put("/_sandbox/settings", json={"github_listing_delay_s": 5})
    made = await deploy(client)
    assert (await client.get(f"{REPO}/deployments")).json() == []
    assert (await client.get(made["url"])).status_code == 200
    await anyio.sleep(6)
    assert len((await client.get(f"{REPO}/deployments")).json()) == 1


async def test_success_retires_neighbours_unless_told_not_to(client: httpx2.AsyncClient) -> None:
    first, second, third = [await deploy(client) for _ in range(3)]
    await set_state(client, first, "success")
    await set_state(client, second, "success", auto_inactive=False)
    assert await states(client, first) == ["success"]
    await set_state(client, third, "success")
    assert await states(client, first) == ["inactive", "success"]
    assert await states(client, second) == ["inactive", "success"]


async def test_production_deployments_are_not_retired(client: httpx2.AsyncClient) -> None:
    first, second = [await deploy(client, environment="production") for _ in range(2)]
    await set_state(client, first, "success")
    await set_state(client, second, "success")
    assert await states(client, first) == ["success"]


async def test_status_description_has_140_characters_at_most(client: httpx2.AsyncClient) -> None:
    made = await deploy(client)
    url = f"{REPO}/deployments/{made['id']}/statuses"
    await set_state(client, made, "pending", description="x" * 140)
    assert (await client.post(url, json={"state": "pending", "description": "x" * 141})).status_code == 422
    assert (await client.post(url, json={"state": "great"})).status_code == 422


async def test_active_deployment_is_not_deleted(client: httpx2.AsyncClient) -> None:
    one, _ = await deploy(client), await deploy(client)
    assert (await client.delete(one["url"])).status_code == 422
    await set_state(client, one, "inactive")
    assert (await client.delete(one["url"])).status_code == 204
    assert (await client.get(one["url"])).status_code == 404


async def test_ref_is_created_once(client: httpx2.AsyncClient) -> None:
    asked = {"ref": "refs/liftlock/p/staging/1", "sha": C}
    assert (await client.post(f"{REPO}/git/refs", json=asked)).status_code == 201
    again = await client.post(f"{REPO}/git/refs", json={**asked, "sha": B})
    assert again.status_code == 422
    assert again.json()["message"] == "Reference already exists"
    assert (await client.get(f"{REPO}/git/ref/liftlock/p/staging/1")).json()["object"]["sha"] == C


@pytest.mark.parametrize(
    ("ref", "sha"),
    [
        ("liftlock/x", C),
        ("refs/x", C),
        ("refs/a/b..c", C),
        ("refs/a/b", D),
        ("refs/a/b", "abc"),
        ("refs/heads/main/x", C),
    ],
)
async def test_bad_refs_are_refused(client: httpx2.AsyncClient, ref: str, sha: str) -> None:
    assert (await client.post(f"{REPO}/git/refs", json={"ref": ref, "sha": sha})).status_code == 422


async def test_ref_moves_by_fast_forward_alone(client: httpx2.AsyncClient) -> None:
    await client.post(f"{REPO}/git/refs", json={"ref": "refs/x/y", "sha": B})
    url = f"{REPO}/git/refs/x/y"
    assert (await client.patch(url, json={"sha": C})).json()["object"]["sha"] == C
    refused = await client.patch(url, json={"sha": A, "force": False})
    assert (refused.status_code, refused.json()["message"]) == (422, "Update is not a fast forward")
    assert (await client.patch(url, json={"sha": A, "force": True})).status_code == 200
    assert (await client.delete(url)).status_code == 204
    assert (await client.delete(url)).json()["message"] == "Reference does not exist"
    assert (await client.get(f"{REPO}/git/ref/x/y")).status_code == 404


async def test_matching_refs_go_by_prefix(client: httpx2.AsyncClient) -> None:
    for number in (1, 2, 10):
        await client.post(f"{REPO}/git/refs", json={"ref": f"refs/liftlock/p/dev/{number}", "sha": C})
    found = (await client.get(f"{REPO}/git/matching-refs/liftlock/p/dev/")).json()
    assert [row["ref"] for row in found] == [f"refs/liftlock/p/dev/{n}" for n in (1, 10, 2)]
    assert (await client.get(f"{REPO}/git/matching-refs/nothing")).json() == []


async def test_git_objects_have_gits_own_names(client: httpx2.AsyncClient) -> None:
    """Names computed by `git hash-object` and `git mktree`."""
    blob = (await client.post(f"{REPO}/git/blobs", json={"content": "hello\n"})).json()
    assert blob["sha"] == "ce013625030ba8dba906f756967f9e9ca394464a"
    read = (await client.get(f"{REPO}/git/blobs/{blob['sha']}")).json()
    assert base64.b64decode(read["content"]) == b"hello\n"
    entry = {"path": "hello.txt", "mode": "100644", "type": "blob", "sha": blob["sha"]}
    tree = (await client.post(f"{REPO}/git/trees", json={"tree": [entry]})).json()
    assert tree["sha"] == "aaa96ced2d9a1c8e72c56b253a0e2fe78393feb7"
    person = {"name": "N", "email": "n@example.invalid", "date": "2025-01-01T00:00:00Z"}
    asked = {"message": "m", "tree": tree["sha"], "parents": [C], "author": person}
    commit = (await client.post(f"{REPO}/git/commits", json=asked)).json()
    assert (await client.get(f"{REPO}/git/commits/{commit['sha']}")).json() == commit
    assert commit["committer"] == person
    tag = {"tag": "v1", "message": "m", "object": commit["sha"], "type": "commit"}
    made = (await client.post(f"{REPO}/git/tags", json=tag)).json()
    assert (await client.get(made["url"])).json() == made
    assert (await client.post(f"{REPO}/git/commits", json={"message": "m", "tree": D})).status_code == 422


async def test_nested_paths_make_folders(client: httpx2.AsyncClient) -> None:
    asked = {"tree": [{"path": "a/b/c.txt", "mode": "100644", "type": "blob", "content": "x"}]}
    made = (await client.post(f"{REPO}/git/trees", json=asked)).json()
    assert [row["path"] for row in made["tree"]] == ["a"]
    whole = (await client.get(f"{REPO}/git/trees/{made['sha']}?recursive=1")).json()
    assert [row["path"] for row in whole["tree"]] == ["a", "a/b", "a/b/c.txt"]


@pytest.mark.parametrize(
    ("basehead", "status", "ahead", "behind"),
    [
        (f"{A}...{C}", "ahead", 2, 0),
        (f"{C}...{A}", "behind", 0, 2),
        (f"{C}...main", "identical", 0, 0),
        (f"{C}...{D}", "diverged", 1, 1),
    ],
)
async def test_compare_walks_the_history(
    client: httpx2.AsyncClient, basehead: str, status: str, ahead: int, behind: int
) -> None:
    side = {"sha": D, "parents": [B], "message": "side", "date": "2025-01-04T00:00:00Z"}
    await client.put("/_sandbox/github/example/services/commits?branch=side", json=[side])
    seen = (await client.get(f"{REPO}/compare/{basehead}")).json()
    assert (seen["status"], seen["ahead_by"], seen["behind_by"]) == (status, ahead, behind)
    assert seen["total_commits"] == len(seen["commits"]) == ahead


async def test_compare_lists_commits_oldest_first(client: httpx2.AsyncClient) -> None:
    seen = (await client.get(f"{REPO}/compare/{A}...{C}")).json()
    assert [row["sha"] for row in seen["commits"]] == [B, C]
    assert seen["merge_base_commit"]["sha"] == A
    assert (await client.get(f"{REPO}/compare/{A}...{D}")).status_code == 404


async def test_commits_by_any_name(client: httpx2.AsyncClient) -> None:
    for name in (C, C[:7], "main", "HEAD", "refs/heads/main", "heads/main"):
        assert (await client.get(f"{REPO}/commits/{name}")).json()["sha"] == C
    assert (await client.get(f"{REPO}/commits/nowhere")).status_code == 422
    listed = (await client.get(f"{REPO}/commits", params={"sha": B})).json()
    assert [row["sha"] for row in listed] == [B, A]


async def test_tarball_and_files_of_a_commit(client: httpx2.AsyncClient) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("app/liftlock.toml")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"x=1"))
    put = await client.put(f"/_sandbox/github/example/services/tarballs/{C}", content=out.getvalue())
    assert put.status_code == 200
    answer = await client.get(f"{REPO}/tarball/main", follow_redirects=True)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert f"example-services-{C[:7]}/app/liftlock.toml" in archive.getnames()
    file = (await client.get(f"{REPO}/contents/app/liftlock.toml", params={"ref": C})).json()
    assert base64.b64decode(file["content"]) == b"x=1"
    folder = (await client.get(f"{REPO}/contents/app")).json()
    assert [(row["name"], row["type"]) for row in folder] == [("liftlock.toml", "file")]
    raw = await client.get(
        f"{REPO}/contents/app/liftlock.toml", headers={"accept": "application/vnd.github.raw+json"}
    )
    assert raw.content == b"x=1"
    assert (await client.get(f"{REPO}/contents/none")).status_code == 404
    assert (await client.get(f"{REPO}/contents/x?ref={A}")).status_code == 404


async def test_environments_appear_with_their_first_deployment(client: httpx2.AsyncClient) -> None:
    await deploy(client, environment="review app/1")
    seen = (await client.get(f"{REPO}/environments")).json()
    assert [row["name"] for row in seen["environments"]] == ["review app/1"]
    put = await client.put(
        f"{REPO}/environments/prod", json={"wait_timer": 30, "reviewers": [{"type": "User", "id": 1}]}
    )
    assert [rule["type"] for rule in put.json()["protection_rules"]] == ["wait_timer", "required_reviewers"]
    assert (await client.get(f"{REPO}/environments/review%20app%2F1")).status_code == 200
    assert (await client.get(f"{REPO}/environments/none")).status_code == 404


async def test_accounts_come_from_tokens(client: httpx2.AsyncClient) -> None:
    for token, login in (("owner", "owner"), ("user-ada", "ada")):
        seen = (await client.get("/user", headers={"authorization": f"token {token}"})).json()
        assert seen["login"] == login
    refused = await client.get("/user", headers={"authorization": "Bearer ghp_x"})
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")


async def test_commits_may_be_put_again(client: httpx2.AsyncClient) -> None:
    again = await client.put("/_sandbox/github/example/services/commits", json=COMMITS)
    assert again.json()["head"] == C
    orphan = [{"sha": D, "parents": ["e" * 40]}]
    assert (await client.put("/_sandbox/github/example/services/commits", json=orphan)).status_code == 400


async def test_primary_limit_is_advertised_and_kept(client: httpx2.AsyncClient) -> None:
    assert "x-ratelimit-limit" not in (await client.get(REPO)).headers
    await client.put("/_sandbox/settings", json={"limits": True})
    first = (await client.get(REPO)).headers
    assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"]) == ("5000", "4999")
    assert (await client.get("/rate_limit")).json()["rate"]["used"] == 1


async def test_secondary_limit_holds_back_writes(client: httpx2.AsyncClient) -> None:
    """80 content-creating requests a minute; then 403 with `retry-after`, after which it goes on."""
    await client.put("/_sandbox/settings", json={"limits": True})
    for _ in range(80):
        assert (await client.post(f"{REPO}/git/blobs", json={"content": "x"})).status_code == 201
    refused = await client.post(f"{REPO}/git/blobs", json={"content": "x"})
    assert refused.status_code == 403
    assert "secondary rate limit" in refused.json()["message"]
    assert (await client.get(REPO)).status_code == 200
    await anyio.sleep(int(refused.headers["retry-after"]))
    assert (await client.post(f"{REPO}/git/blobs", json={"content": "x"})).status_code == 201
