"""Heroku's own habits, in-process on a virtual clock: refusals, paging, add-ons, durations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from tests.sandbox.heroku_client import IMAGES, PLAIN, Heroku, client_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def heroku(cloud: Cloud) -> AsyncIterator[Heroku]:
    """The app odb-dev with a database, nothing released."""
    async with client_of("http://sandbox.localhost", InProcess(cloud)) as client:
        heroku = Heroku(client)
        await heroku.create(database=True)
        yield heroku


async def image(heroku: Heroku, type_: str = "web", **wish: Any) -> str:
    """The id of an image that was never uploaded."""
    wish = {"repository": f"{heroku.app}/{type_}", **wish}
    answer = await heroku.http.post("/_sandbox/images", json=wish)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["image_id"])


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/vnd.heroku+json"])
async def test_the_version_has_to_be_asked_for(heroku: Heroku, accept: str) -> None:
    refused = await heroku.ask("GET", "", expect=406, accept=accept)
    assert refused["id"] == "not_acceptable"


@pytest.mark.parametrize("accept", [PLAIN, IMAGES, "application/vnd.heroku+json; version=3.sdk"])
async def test_every_variant_of_version_3_is_answered(heroku: Heroku, accept: str) -> None:
    assert (await heroku.ask("GET", "", accept=accept))["stack"]["name"] == "container"


async def test_nobody_is_refused(heroku: Heroku) -> None:
    refused = await heroku.ask("GET", "", expect=401, authorization="Bearer who")
    assert refused == {"id": "unauthorized", "message": "Invalid credentials provided."}


@pytest.mark.parametrize(
    "path", ["/apps/nowhere", "releases/99", "formation/none", "dynos/web.9", "/addons/none", "nothing/there"]
)
async def test_what_is_not_there_is_404(heroku: Heroku, path: str) -> None:
    assert (await heroku.ask("GET", path, expect=404))["id"] == "not_found"


async def test_an_app_is_found_by_its_id(heroku: Heroku) -> None:
    app = await heroku.ask("GET", "")
    assert app["web_url"] == "http://sandbox.localhost/_apps/odb-dev/"
    assert await heroku.ask("GET", f"/apps/{app['id']}") == app
    assert app in await heroku.ask("GET", "/apps")


async def test_unknown_image_changes_nothing(heroku: Heroku) -> None:
    web = await image(heroku)
    unknown = "sha256:" + "0" * 64
    refused = await heroku.release(web=web, worker=unknown, expect=404)
    assert refused["id"] == "not_found"
    assert "worker" in refused["message"]
    assert await heroku.ask("GET", "formation") == []


async def test_an_image_counts_for_its_own_process_type_alone(heroku: Heroku) -> None:
    await heroku.release(worker=await image(heroku), expect=404)


@pytest.mark.parametrize(
    "update",
    [
        {"type": "web", "docker_image": "latest"},
        {"type": "web", "quantity": "many"},
        {"docker_image": "sha256:" + "0" * 64},
    ],
)
async def test_senseless_update_is_422(heroku: Heroku, update: dict[str, Any]) -> None:
    await heroku.release(web=await image(heroku))
    refused = await heroku.ask("PATCH", "formation", {"updates": [update]}, expect=422)
    assert refused["id"] == "invalid_params"


async def test_images_need_their_own_accept_header(heroku: Heroku) -> None:
    web = await image(heroku)
    body = {"updates": [{"type": "web", "docker_image": web}]}
    assert (await heroku.ask("PATCH", "formation", body, accept=PLAIN, expect=422))["id"] == "invalid_params"
    await heroku.ask("PATCH", "formation", body)
    (plain,) = await heroku.ask("GET", "formation", accept=PLAIN)
    assert "docker_image" not in plain
    await heroku.http.put("/_sandbox/settings", json={"formation_images": False})
    (hidden,) = await heroku.ask("GET", "formation")
    assert "docker_image" not in hidden


async def test_image_may_be_given_as_an_object(heroku: Heroku) -> None:
    web = await image(heroku)
    await heroku.ask(
        "PATCH", "formation", {"updates": [{"type": "web", "docker_image": {"id": web}, "quantity": 2}]}
    )
    assert await heroku.quantities() == {"web": 2}


async def test_body_that_is_not_json_is_400(heroku: Heroku) -> None:
    answer = await heroku.http.patch("/apps/odb-dev/formation", content=b"{", headers={"accept": IMAGES})
    assert (answer.status_code, answer.json()["id"]) == (400, "bad_request")


async def page(heroku: Heroku, header: str | None) -> tuple[int, Any, str | None]:
    answer = await heroku.http.get("/apps/odb-dev/releases", headers={"accept": PLAIN, "range": header or ""})
    versions = [one["version"] for one in answer.json()] if answer.status_code < 400 else answer.json()["id"]
    return answer.status_code, versions, answer.headers.get("next-range")


async def test_releases_are_paged(heroku: Heroku) -> None:
    for n in range(6):
        await heroku.ask("PATCH", "config-vars", {"N": str(n)})
    status, versions, following = await page(heroku, "version ..; max=3, order=desc")
    assert (status, versions) == (206, [8, 7, 6])
    status, versions, following = await page(heroku, following)
    assert (status, versions) == (206, [5, 4, 3])
    assert await page(heroku, following) == (200, [2, 1], None)
    assert await page(heroku, "version ..; order=desc,max=1") == (
        206,
        [8],
        "version ]8..; max=1, order=desc",
    )
    assert (await page(heroku, "version 7..; max=10"))[:2] == (200, [7, 8])
    assert (await page(heroku, "version 2..3; max=10"))[:2] == (200, [2, 3])
    assert (await page(heroku, "colour ..; max=10"))[:2] == (416, "requested_range_not_satisfiable")
    answer = await heroku.http.get("/apps/odb-dev/releases", headers={"accept": PLAIN})
    assert (answer.status_code, answer.headers["content-range"]) == (200, "version 1..8")


async def test_release_is_found_by_version_and_by_id(heroku: Heroku) -> None:
    newest = await heroku.newest()
    assert newest["description"] == "Attach DATABASE (@ref:postgresql-odb-dev)"
    assert await heroku.ask("GET", "releases/2") == newest
    assert await heroku.ask("GET", f"releases/{newest['id']}") == newest


async def test_release_without_images_cannot_be_gone_back_to(heroku: Heroku) -> None:
    newest = await heroku.newest()
    assert newest["eligible_for_rollback"] is False
    await heroku.ask("POST", "releases", {"release": newest["id"]}, expect=422)


async def test_settings_say_how_long_things_take(heroku: Heroku) -> None:
    await heroku.http.put("/_sandbox/settings", json={"release_s": 5, "boot_s": 2, "backup_s": 30})
    begun = anyio.current_time()
    await heroku.release(web=await image(heroku))
    assert (await heroku.newest())["status"] == "succeeded"
    await heroku.until({"web.1": ("up", 3)})
    assert anyio.current_time() - begun == pytest.approx(7, abs=0.1)
    await heroku.release(release=await image(heroku, "release"))
    assert (await heroku.newest())["status"] == "pending"
    assert (await heroku.states())["web.1"] == ("up", 3)
    assert (await heroku.states())["release.1004"] == ("up", 4)
    await heroku.ended()
    await heroku.until({"web.1": ("up", 4)})
    assert anyio.current_time() - begun == pytest.approx(14, abs=0.2)
    begun = anyio.current_time()
    await heroku.capture(limit_s=100)
    assert anyio.current_time() - begun == pytest.approx(30, abs=0.1)


async def test_a_second_release_waits_its_turn(heroku: Heroku) -> None:
    await heroku.http.put("/_sandbox/settings", json={"release_s": 5})
    await heroku.release(release=await image(heroku, "release"))
    refused = await heroku.release(web=await image(heroku), expect=409)
    assert refused["id"] == "conflict"
    await heroku.ended()
    await heroku.release(web=await image(heroku))


async def test_canceled_backup_is_over_and_failed(heroku: Heroku) -> None:
    await heroku.http.put("/_sandbox/settings", json={"backup_s": 30})
    path = f"/client/v11/databases/{await heroku.addon()}/backups"
    transfer = await heroku.ask("POST", path, expect=201)
    assert (transfer["started_at"] is None, transfer["finished_at"]) == (False, None)
    uuid = transfer["uuid"]
    canceled = await heroku.ask("POST", f"/client/v11/apps/odb-dev/transfers/{uuid}/actions/cancel")
    assert (canceled["succeeded"], bool(canceled["canceled_at"])) == (False, True)
    await anyio.sleep(60)
    assert (await heroku.transfer(uuid))["succeeded"] is False


async def test_database_is_found_as_the_cli_finds_it(heroku: Heroku) -> None:
    body = {"addon_attachment": "DATABASE_URL", "app": "odb-dev"}
    (found,) = await heroku.ask(
        "POST", "/actions/addon-attachments/resolve", body, Accept_Inclusion="addon:plan,config_vars"
    )
    addon = found["addon"]
    assert (found["config_vars"], addon["plan"]["name"]) == (
        ["DATABASE_URL"],
        "heroku-postgresql:essential-0",
    )
    whole = await heroku.ask("GET", f"/addons/{addon['id']}")
    assert whole["app"]["name"] == "odb-dev"
    info = await heroku.ask("GET", f"/client/v11/databases/{addon['name']}")
    assert {"name": "Continuous Protection", "values": ["Off"]} in info["info"]
    other = Heroku(heroku.http, "itc-dev")
    await other.create()
    assert await other.ask("GET", "addons") == []
    body["app"] = "itc-dev"
    await heroku.ask("POST", "/actions/addon-attachments/resolve", body, expect=404)


async def test_a_shared_database_is_one_and_belongs_to_one_app(heroku: Heroku) -> None:
    await heroku.http.put(
        "/_sandbox/world", json={"heroku": {"apps": [{"name": "res-dev", "database": "odb-dev"}]}}
    )
    body = {"addon_attachment": "DATABASE_URL", "app": "res-dev"}
    (found,) = await heroku.ask(
        "POST", "/actions/addon-attachments/resolve", body, Accept_Inclusion="addon:plan,config_vars"
    )
    assert (found["app"]["name"], found["addon"]["app"]["name"]) == ("res-dev", "odb-dev")
    assert found["addon"]["id"] == await heroku.addon()
    urls = [
        (await app.ask("GET", "config-vars"))["DATABASE_URL"]
        for app in (heroku, Heroku(heroku.http, "res-dev"))
    ]
    assert urls[0] == urls[1]


async def test_database_url_belongs_to_the_add_on(heroku: Heroku) -> None:
    assert (await heroku.ask("GET", "config-vars"))["DATABASE_URL"].startswith("postgres://")
    await heroku.ask("PATCH", "config-vars", {"DATABASE_URL": "x"}, expect=422)


async def test_unknown_backup_is_not_restored(heroku: Heroku) -> None:
    path = f"/client/v11/databases/{await heroku.addon()}/restores"
    await heroku.ask("POST", path, {"backup_url": "http://elsewhere/dump"}, expect=422)


async def test_account_is_the_token_s(heroku: Heroku) -> None:
    account = await heroku.ask("GET", "/account", authorization="Bearer user-ada")
    assert (account["name"], account["email"]) == ("ada", "ada@example.com")


async def test_limits_are_told_when_they_are_on(heroku: Heroku) -> None:
    await heroku.http.put("/_sandbox/settings", json={"limits": True})
    answer = await heroku.http.get("/account", headers={"accept": PLAIN})
    assert answer.headers["ratelimit-remaining"] == "4499"
    assert (await heroku.ask("GET", "/account/rate-limits"))["remaining"] <= 4499


async def test_world_is_idempotent(heroku: Heroku) -> None:
    await heroku.create(database=True, config_vars={"NEW": "1"}, formation={"web": 3})
    assert (await heroku.newest())["version"] == 2
    await heroku.release(web=await image(heroku))
    assert await heroku.quantities() == {"web": 3}


async def test_app_name_has_to_be_heroku_s(heroku: Heroku) -> None:
    world = {"heroku": {"apps": [{"name": "No_App"}]}}
    answer = await heroku.http.put("/_sandbox/world", json=world)
    assert answer.status_code == 400
    assert "No_App" in answer.text


async def test_crashed_dyno_is_tried_again_with_growing_pauses(heroku: Heroku) -> None:
    await heroku.release(web=await image(heroku, labels={"io.liftlock.sandbox": "crash"}))
    await anyio.sleep(100)
    crashes = (await heroku.log(lines=1500)).count("State changed from starting to crashed")
    assert crashes == 4
