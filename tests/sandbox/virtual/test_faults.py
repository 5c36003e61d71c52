"""Faults in-process: the same rules as over TCP, on a virtual clock."""

from typing import Any

import anyio
import httpx2
import pytest

from liftlock.sandbox.faults import Faults
from tests.sandbox.worlds import REPO, C

pytestmark = pytest.mark.anyio


async def add(client: httpx2.AsyncClient, **rule: Any) -> Any:
    answer = await client.post("/_sandbox/faults", json=rule)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def refs(client: httpx2.AsyncClient) -> Any:
    return (await client.get("/_sandbox/state")).json()["github"]["repositories"]["example/services"]["refs"]


async def log(client: httpx2.AsyncClient) -> Any:
    return [row for row in (await client.get("/_sandbox/requests")).json() if row["vendor"] != "admin"]


REF = {"ref": "refs/x/y", "sha": C}


async def test_status_answers_without_applying(client: httpx2.AsyncClient) -> None:
    await add(
        client, action="status", status=503, headers={"Retry-After": "7"}, body={"message": "no"}, times=1
    )
    answer = await client.post(f"{REPO}/git/refs", json=REF)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (503, "7", {"message": "no"})
    assert "refs/x/y" not in await refs(client)
    assert (await client.post(f"{REPO}/git/refs", json=REF)).status_code == 201
    assert [(row["status"], row["fault"]) for row in await log(client)] == [(503, "status"), (201, None)]


async def test_reset_applies_nothing(client: httpx2.AsyncClient) -> None:
    await add(client, action="reset", method="POST", times=1)
    with pytest.raises(httpx2.ReadError):
        await client.post(f"{REPO}/git/refs", json=REF)
    assert "refs/x/y" not in await refs(client)


async def test_lost_applies_and_does_not_answer(client: httpx2.AsyncClient) -> None:
    await add(client, action="lost", times=1)
    with pytest.raises(httpx2.ReadError):
        await client.post(f"{REPO}/git/refs", json=REF)
    assert (await refs(client))["refs/x/y"] == C


async def test_delay_applies_on_arrival(client: httpx2.AsyncClient) -> None:
    await add(client, action="delay", delay_s=5, times=1)
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.post(f"{REPO}/git/refs", json=REF))
        await anyio.sleep(1)
        assert "refs/x/y" in await refs(client)
    assert anyio.current_time() - begun == pytest.approx(5)


async def test_hang_ends_with_the_clients_patience(client: httpx2.AsyncClient) -> None:
    await add(client, action="hang", times=1)
    with pytest.raises(httpx2.ReadTimeout):
        await client.post(f"{REPO}/git/refs", json=REF)
    await anyio.sleep(1)
    assert "refs/x/y" not in await refs(client)


async def test_hanging_request_goes_on_when_its_rule_is_deleted(client: httpx2.AsyncClient) -> None:
    number = await add(client, action="hang")
    answers = []

    async def ask() -> None:
        answers.append(await client.post(f"{REPO}/git/refs", json=REF))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.sleep(3)
        assert answers == []
        assert (await client.delete(f"/_sandbox/faults/{number}")).status_code == 204
    assert answers[0].status_code == 201


async def test_body_spoils_the_answer_of_what_was_applied(client: httpx2.AsyncClient) -> None:
    await add(client, action="body", body="<html>", headers={"content-type": "text/html"}, times=1)
    answer = await client.post(f"{REPO}/git/refs", json=REF)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (201, "<html>", "text/html")
    assert "refs/x/y" in await refs(client)


async def test_rules_choose_by_vendor_method_path_and_count(client: httpx2.AsyncClient) -> None:
    await add(
        client,
        action="status",
        status=500,
        vendor="github",
        method="GET",
        path="/deployments\\?",
        skip=1,
        times=1,
    )
    url = f"{REPO}/deployments?task=x"
    seen = [(await client.get(url)).status_code for _ in range(3)]
    assert seen == [200, 500, 200]
    assert (await client.get("/_sandbox/faults")).json()[0]["applied"] == 1


async def test_client_that_leaves_does_not_stop_the_request(client: httpx2.AsyncClient) -> None:
    with anyio.move_on_after(1):
        await add(client, action="delay", delay_s=5, times=1)
        await client.post(f"{REPO}/git/refs", json=REF)
    assert (await refs(client))["refs/x/y"] == C


def test_chance_follows_its_seed() -> None:
    def victims(seed: int) -> Any:
        faults = Faults()
        faults.add({"action": "reset", "probability": 0.3, "seed": seed})
        return [bool(faults.take("github", "GET", "/")) for _ in range(200)]

    assert victims(1) == victims(1) != victims(2)
    assert 30 < sum(victims(1)) < 90


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"action": "explode"},
        {"action": "reset", "path": "("},
        {"action": "reset", "times": "x"},
        {"action": "reset", "nothing": 1},
    ],
)
async def test_wrong_rules_are_refused(client: httpx2.AsyncClient, rule: dict[str, Any]) -> None:
    answer = await client.post("/_sandbox/faults", json=rule)
    assert answer.status_code == 400
    assert answer.json()["error"]
