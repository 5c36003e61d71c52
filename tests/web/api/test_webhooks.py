"""GitHub's webhooks: signed with our secret, each heard once, about our repositories alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from liftlock.model import Serve
from liftlock.web.live import PROJECT
from tests.commands.world import World
from tests.web.served import Browser, served

pytestmark = pytest.mark.anyio
SECRET = "the-webhooks-secret"
PATH = "/api/v1/webhooks/github"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    world = World()
    world.project = replace(world.project, serve=Serve(webhook_secret="env:HOOK"))
    async with served(world) as made:
        made.access.environ = {"HOOK": SECRET}
        made.client.cookies.clear()
        yield made


def delivery(
    world_repository: str, secret: str = SECRET, id_: str = "12345678-abcd", **more: Any
) -> dict[str, Any]:
    body = json.dumps({"repository": {"full_name": world_repository}, "n": id_, **more}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "content": body,
        "headers": {
            "content-type": "application/json",
            "x-github-event": "push",
            "x-github-delivery": id_,
            "x-hub-signature-256": f"sha256={signature}",
        },
    }


async def test_a_push_has_the_board_looked_at_again(browser: Browser) -> None:
    repository = browser.reading.project.repository or next(
        app.repository for app in browser.reading.project.apps.values()
    )
    before = browser.changes.version((PROJECT,))
    answer = await browser.client.post(PATH, **delivery(repository))
    assert (answer.status_code, answer.json()) == (202, {"heard": True})
    assert browser.changes.version((PROJECT,)) > before
    other = await browser.client.post(PATH, **delivery("somebody/else", id_="12345678-efgh"))
    assert other.json() == {"heard": False}


async def test_a_forged_webhook_is_refused_and_written_down(browser: Browser) -> None:
    before = browser.changes.version((PROJECT,))
    forged = delivery("example/services", secret="another")
    for signature in (forged["headers"]["x-hub-signature-256"], "", "sha256=", "sha1=abc", "sha256=ä"):
        headers = {**forged["headers"], "x-hub-signature-256": signature.encode()}
        answer = await browser.client.post(PATH, content=forged["content"], headers=headers)
        assert answer.status_code == 401
        assert SECRET not in answer.text
    changed = delivery("example/services")
    assert (
        await browser.client.post(PATH, content=changed["content"] + b" ", headers=changed["headers"])
    ).status_code == 401
    assert browser.changes.version((PROJECT,)) == before
    lines = await browser.access.audit.read()
    assert {(line.action, line.outcome) for line in lines} == {("webhook", "refused")}


async def test_a_replayed_webhook_is_refused_under_any_id(browser: Browser) -> None:
    first = delivery("example/services")
    assert (await browser.client.post(PATH, **first)).status_code == 202
    assert (await browser.client.post(PATH, **first)).status_code == 400
    renamed = {**first["headers"], "x-github-delivery": "99999999-zzzz"}
    again = await browser.client.post(PATH, content=first["content"], headers=renamed)
    assert again.json()["detail"] == "This delivery was heard before."


async def test_without_a_secret_no_webhook_is_taken() -> None:
    async with served(World()) as browser:
        browser.client.cookies.clear()
        answer = await browser.client.post(PATH, **delivery("example/services"))
        assert answer.status_code == 400
        assert "takes no webhooks" in answer.json()["detail"]
