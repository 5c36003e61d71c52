"""Requests to running apps over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sandbox.heroku_client import Heroku, client_of
from tests.sandbox.serving_real import serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def heroku(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heroku]:
    """A running app."""
    monkeypatch.setenv("LIFTLOCK_SANDBOX_RUNTIME", "process")
    with serving(tmp_path / "state") as base:
        async with client_of(base) as client:
            heroku = Heroku(client)
            await heroku.create()
            await heroku.release(web=await heroku.pushed())
            yield heroku


async def test_request_arrives_as_it_was_sent(heroku: Heroku) -> None:
    answer = await heroku.http.post(
        "/_apps/odb-dev/a%20b/c?x=1&y=%2F", content=b"hello", headers={"x-own": "value"}
    )
    told = answer.json()
    assert (told["line"], told["body"]) == ("POST /a%20b/c?x=1&y=%2F", "hello")
    assert (told["headers"]["x-own"], told["headers"]["x-forwarded-proto"]) == ("value", "http")
    assert answer.headers.get_list("x-twice") == ["one", "two"]


async def test_head_has_a_length_and_no_body(heroku: Heroku) -> None:
    answer = await heroku.http.head("/_apps/odb-dev/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_every_app_has_a_host_of_its_own(heroku: Heroku) -> None:
    port = heroku.http.base_url.port
    answer = await heroku.http.get("/health", headers={"host": f"odb-dev.localhost:{port}"})
    assert answer.json()["line"] == "GET /health"


async def test_large_body_arrives_whole(heroku: Heroku) -> None:
    body = "x" * 300_000
    assert (await heroku.http.post("/_apps/odb-dev/", content=body)).json()["body"] == body


async def test_log_with_tail_goes_on(heroku: Heroku) -> None:
    session = await heroku.ask("POST", "log-sessions", {"lines": 0, "tail": True}, expect=201)
    async with heroku.http.stream("GET", session["logplex_url"], headers={"authorization": ""}) as answer:
        await heroku.ask("DELETE", "dynos", expect=202)
        async for line in answer.aiter_lines():
            if "State changed from starting to up" in line:
                break


async def test_unknown_app_is_404(heroku: Heroku) -> None:
    assert (await heroku.http.get("/_apps/nowhere/")).status_code == 404


async def test_dynos_take_turns(heroku: Heroku) -> None:
    await heroku.ask("PATCH", "formation/web", {"quantity": 2})
    await heroku.until({"web.1": ("up", 2), "web.2": ("up", 2)})
    assert {(await heroku.get()).json()["environ"]["DYNO"] for _ in range(4)} == {"web.1", "web.2"}
