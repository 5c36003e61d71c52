"""Releases, dynos and backups: the same from outside, whatever stands behind."""

from __future__ import annotations

import anyio
import pytest

from tests.sandbox.heroku_client import Heroku

pytestmark = pytest.mark.anyio


async def test_release_starts_the_image_and_tells_its_id(heroku: Heroku) -> None:
    await heroku.create()
    image = await heroku.pushed()
    (entry,) = await heroku.release(web=image)
    assert (entry["type"], entry["quantity"], entry["docker_image"]) == ("web", 1, {"id": image})
    await heroku.until({"web.1": ("up", 2)})
    newest = await heroku.newest()
    assert (newest["version"], newest["status"], newest["current"]) == (2, "succeeded", True)
    assert newest["description"] == f"Deployed web ({image[7:19]})"
    assert await heroku.images() == {"web": image}
    assert (await heroku.get("/health")).status_code == 200


async def test_same_images_make_no_release(heroku: Heroku) -> None:
    await heroku.create()
    image = await heroku.pushed()
    await heroku.release(web=image)
    await heroku.release(web=image)
    assert (await heroku.newest())["version"] == 2


async def test_several_types_are_one_release(heroku: Heroku) -> None:
    await heroku.create()
    web, worker = await heroku.pushed(), await heroku.pushed("worker")
    await heroku.release(web=web, worker=worker)
    newest = await heroku.newest()
    assert (newest["version"], newest["description"]) == (
        2,
        f"Deployed web ({web[7:19]}), worker ({worker[7:19]})",
    )
    assert await heroku.quantities() == {"web": 1, "worker": 0}


async def test_world_can_scale_a_type_before_it_is_released(heroku: Heroku) -> None:
    await heroku.create(formation={"web": 1, "worker": 2})
    await heroku.release(web=await heroku.pushed(), worker=await heroku.pushed("worker"))
    await heroku.until({"web.1": ("up", 2), "worker.1": ("up", 2), "worker.2": ("up", 2)})


async def test_next_release_takes_over(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed(seed="one"))
    await heroku.until({"web.1": ("up", 2)})
    second = await heroku.pushed(seed="two")
    await heroku.release(web=second)
    await heroku.until({"web.1": ("up", 3)})
    assert await heroku.images() == {"web": second}
    assert [one["current"] for one in await heroku.releases()] == [False, False, True]


async def test_release_phase_comes_first(heroku: Heroku) -> None:
    await heroku.create()
    web, phase = await heroku.pushed(), await heroku.pushed("release")
    await heroku.release(web=web, release=phase)
    begun = await heroku.newest()
    if begun["status"] == "pending":
        assert (begun["current"], begun["version"]) == (False, 2)
    output = await heroku.http.get(begun["output_stream_url"])
    assert "release phase succeeds" in output.text
    assert (await heroku.ended())["status"] == "succeeded"
    await heroku.until({"web.1": ("up", 2)})
    assert await heroku.quantities() == {"web": 1, "release": 0}


async def test_failed_release_phase_leaves_the_earlier_release(heroku: Heroku) -> None:
    await heroku.create()
    old = await heroku.pushed(seed="old")
    await heroku.release(web=old)
    await heroku.until({"web.1": ("up", 2)})
    new, phase = await heroku.pushed(seed="new"), await heroku.pushed("release", "release-fails")
    await heroku.release(web=new, release=phase)
    failed = await heroku.ended()
    assert (failed["version"], failed["status"], failed["current"]) == (3, "failed", False)
    assert "release phase fails" in (await heroku.http.get(failed["output_stream_url"])).text
    await heroku.until({"web.1": ("up", 2)})
    assert await heroku.images() == {"web": old}
    assert (await heroku.releases())[1]["current"] is True


async def test_crash_at_start_is_seen(heroku: Heroku) -> None:
    await heroku.create(formation={"worker": 1})
    await heroku.release(web=await heroku.pushed(kind="crash"), worker=await heroku.pushed("worker", "crash"))
    await heroku.until({"web.1": ("crashed", 2), "worker.1": ("crashed", 2)})
    answer = await heroku.get()
    assert (answer.status_code, answer.text) == (503, "Application error: H10 App crashed\n")
    assert "State changed from starting to crashed" in await heroku.log(lines=1500)


async def test_unhealthy_app_is_up_and_answers_500(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed(kind="unhealthy"))
    await heroku.until({"web.1": ("up", 2)})
    assert (await heroku.get("/health")).status_code == 500


async def test_null_removes_a_process_type(heroku: Heroku) -> None:
    await heroku.create(formation={"worker": 1})
    await heroku.release(web=await heroku.pushed(), worker=await heroku.pushed("worker"))
    await heroku.until({"web.1": ("up", 2), "worker.1": ("up", 2)})
    await heroku.ask("PATCH", "formation/worker", {"docker_image": None})
    await heroku.until({"web.1": ("up", 3)})
    assert set(await heroku.images()) == {"web"}
    assert (await heroku.newest())["description"] == "Removed worker"


async def test_rollback_brings_back_images_and_config_vars(heroku: Heroku) -> None:
    await heroku.create(config_vars={"COLOUR": "red"})
    old = await heroku.pushed(seed="old")
    await heroku.release(web=old)
    goal = await heroku.newest()
    await heroku.ask("PATCH", "config-vars", {"COLOUR": "blue", "NEW": "1"})
    await heroku.release(web=await heroku.pushed(seed="new"))
    made = await heroku.ask("POST", "releases", {"release": goal["id"]}, expect=201)
    assert (made["version"], made["description"], made["current"]) == (5, "Rollback to v2", True)
    await heroku.until({"web.1": ("up", 5)})
    assert await heroku.images() == {"web": old}
    assert await heroku.ask("GET", "config-vars") == {"COLOUR": "red"}


async def test_config_vars_make_a_release_and_restart(heroku: Heroku) -> None:
    await heroku.create(config_vars={"OLD": "x"})
    await heroku.release(web=await heroku.pushed())
    await heroku.until({"web.1": ("up", 2)})
    assert await heroku.ask("PATCH", "config-vars", {"OLD": None, "NEW": "1"}) == {"NEW": "1"}
    await heroku.until({"web.1": ("up", 3)})
    assert (await heroku.newest())["description"] == "Set NEW and Remove OLD config vars"
    assert await heroku.ask("PATCH", "config-vars", {"NEW": "1"}) == {"NEW": "1"}
    assert (await heroku.newest())["version"] == 3
    assert await heroku.ask("GET", "releases/2/config-vars") == {"OLD": "x"}


async def test_scaling_takes_text_and_makes_no_release(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed())
    await heroku.ask("PATCH", "formation", {"updates": [{"type": "web", "quantity": "2"}]})
    await heroku.until({"web.1": ("up", 2), "web.2": ("up", 2)})
    await heroku.ask("PATCH", "formation/web", {"quantity": 0})
    await heroku.until({})
    assert (await heroku.get()).text == "Application error: H14 No web dynos running\n"
    await heroku.release(web=await heroku.pushed(seed="next"))
    assert await heroku.quantities() == {"web": 0}
    assert [one["version"] for one in await heroku.releases()] == [1, 2, 3]


async def test_restart_makes_new_dynos(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed())
    await heroku.until({"web.1": ("up", 2)})
    (before,) = await heroku.ask("GET", "dynos")
    assert await heroku.ask("DELETE", "dynos", expect=202) == {}
    await heroku.until({"web.1": ("up", 2)})
    (after,) = await heroku.ask("GET", "dynos")
    assert before["id"] != after["id"]


async def test_request_waits_for_a_starting_dyno(heroku: Heroku) -> None:
    await heroku.http.put("/_sandbox/settings", json={"boot_s": 30})
    await heroku.create()
    await heroku.release(web=await heroku.pushed())
    assert set(await heroku.states()) == {"web.1"}
    assert (await heroku.get()).status_code == 200


async def test_maintenance_is_a_page_of_its_own(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed())
    await heroku.until({"web.1": ("up", 2)})
    assert (await heroku.ask("PATCH", "", {"maintenance": True}))["maintenance"] is True
    assert (await heroku.get()).status_code == 503
    await heroku.ask("PATCH", "", {"maintenance": False})
    assert (await heroku.get()).status_code == 200


async def test_log_is_tailed(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await heroku.pushed())
    await heroku.until({"web.1": ("up", 2)})
    lines = (await heroku.log(lines=100, source="heroku")).splitlines()
    assert any("heroku[web.1]: State changed from starting to up" in line for line in lines)
    assert not any(" app[" in line for line in lines)


async def test_backup_is_captured_served_and_restored(heroku: Heroku) -> None:
    await heroku.create(database=True)
    transfer = await heroku.capture()
    assert (transfer["num"], transfer["succeeded"], transfer["warnings"]) == (1, True, 0)
    assert (transfer["from_type"], transfer["to_type"]) == ("pg_dump", "gof3r")
    assert transfer["processed_bytes"] > 0
    path = f"/client/v11/apps/{heroku.app}/transfers"
    assert [one["num"] for one in await heroku.ask("GET", path)] == [1]
    assert (await heroku.ask("GET", f"{path}/{transfer['uuid']}"))["num"] == 1
    public = await heroku.ask("POST", f"{path}/1/actions/public-url", expect=201)
    dump = await heroku.http.get(public["url"], headers={"authorization": ""})
    assert dump.content.startswith(b"PGDMP")
    assert len(dump.content) == transfer["processed_bytes"]
    restores = f"/client/v11/databases/{await heroku.addon()}/restores"
    begun = await heroku.ask("POST", restores, {"backup_url": transfer["to_url"]}, expect=201)
    restored = await heroku.transfer(begun["num"])
    assert (restored["to_type"], restored["succeeded"]) == ("pg_restore", True), restored["logs"]
    await heroku.ask("DELETE", f"{path}/1")
    assert (await heroku.http.get(public["url"])).status_code == 404
    assert [one["num"] for one in await heroku.ask("GET", path)] == [2]


async def test_backup_fails_where_it_was_asked_to(heroku: Heroku) -> None:
    await heroku.create(database=True)
    setting = await heroku.http.put(f"/_sandbox/heroku/apps/{heroku.app}", json={"fail_backups": True})
    assert setting.json() == {"fail_backups": True}
    transfer = await heroku.capture()
    assert (transfer["succeeded"], bool(transfer["finished_at"])) == (False, True)
    refused = await heroku.ask(
        "POST", f"/client/v11/apps/{heroku.app}/transfers/1/actions/public-url", expect=422
    )
    assert refused["id"] == "invalid_params"


async def test_state_tells_everything_but_secrets(heroku: Heroku) -> None:
    await heroku.create(config_vars={"TOKEN": "very secret"})
    image = await heroku.pushed()
    await heroku.release(web=image)
    await heroku.until({"web.1": ("up", 2)})
    answer = await heroku.http.get("/_sandbox/state")
    assert "very secret" not in answer.text
    app = answer.json()["heroku"]["apps"]["odb-dev"]
    assert app["config_vars"] == ["TOKEN"]
    assert app["formation"] == [{"type": "web", "quantity": 1, "image_id": image}]
    assert app["dynos"] == [{"name": "web.1", "state": "up", "version": 2, "image": image}]


async def test_releases_of_many_apps_do_not_wait_for_each_other(heroku: Heroku) -> None:
    await heroku.create()
    image = await heroku.pushed()
    others = [type(heroku)(heroku.http, f"app-{n}") for n in range(3)]

    async def release(other: Heroku) -> None:
        await other.create()
        await other.release(web=await other.pushed())
        await other.until({"web.1": ("up", 2)})
        assert await other.images() == {"web": image}

    async with anyio.create_task_group() as tasks:
        for other in others:
            tasks.start_soon(release, other)
