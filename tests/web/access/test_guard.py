"""What every request passes, whatever it is for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from liftlock.model import Serve
from liftlock.web.access.people import Right
from liftlock.web.access.tokens import Tokens
from tests.web.access.served import URL, Server, serving, token_in, with_github

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(with_github()) as made:
        yield made


async def test_nobody_is_nobody(server: Server) -> None:
    async with server.client() as browser:
        for answer in (await browser.get("/who"), await browser.post("/change/dev")):
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
        assert (await browser.get("/api/v1/anything")).status_code == 401


async def test_what_nobody_thought_of_is_not_for_everybody(server: Server) -> None:
    async with server.client() as browser:
        for path in (
            "/sign-information",
            "/sign-in-not",
            "/api/v1/openapi.jsonx",
            "/healthz/more",
            "/forgotten",
        ):
            assert (await browser.get(path)).status_code in {303, 401}, path


async def test_a_form_of_the_page_is_taken(server: Server) -> None:
    async with server.client(origin=URL) as browser:
        await server.signed_in(browser)
        token = token_in((await browser.get("/form")).text)
        changed = await browser.post("/change/dev", data={"form_token": token, "more": "ä"})
        assert changed.text.startswith("ada changed dev: ")
        assert int(changed.text.rpartition(" ")[2]) > len(token)  # the handler reads the whole body as well
        by_header = await browser.post("/change/dev", json={}, headers={"x-liftlock-form": token})
        assert by_header.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{URL}.evil.example"},
        {"origin": "http://liftlock.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_form_of_another_site_is_refused_even_with_a_stolen_token(
    server: Server, headers: dict[str, str]
) -> None:
    async with server.client() as browser:
        await server.signed_in(browser)
        token = token_in((await browser.get("/form")).text)
        refused = await browser.post("/change/dev", data={"form_token": token}, headers=headers)
        assert refused.status_code == 403
        assert "another site" in refused.text


async def test_a_form_without_the_sessions_token_is_refused(server: Server) -> None:
    async with server.client(origin=URL) as ada, server.client(origin=URL) as mallory:
        await server.signed_in(ada)
        await server.signed_in(mallory)
        hers = token_in((await mallory.get("/form")).text)
        for data in ({}, {"form_token": ""}, {"form_token": hers}, {"form_token": "ä"}):
            assert (await ada.post("/change/dev", data=data)).status_code == 403
        assert (await ada.post("/change/dev", json={})).status_code == 403


async def test_who_may_not_is_refused_and_told_why(server: Server) -> None:
    server.provider.teams = ()
    async with server.client(origin=URL) as browser:
        await server.signed_in(browser)
        token = token_in((await browser.get("/form")).text)
        refused = await browser.post("/change/production", data={"form_token": token})
    assert refused.status_code == 403
    assert refused.json()["detail"] == "ada may not promote to, roll back or resume production."
    assert "[environments.production.roles]" in refused.json()["hint"]


async def test_every_answer_says_what_its_page_may_do(server: Server) -> None:
    async with server.client() as browser:
        for path in ("/who", "/nothing", "/form"):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    "host", ["evil.example", "liftlock.example.com.evil.example", "", "169.254.169.254", "[::2]"]
)
async def test_a_name_that_somebody_let_lead_here_is_refused(server: Server, host: str) -> None:
    async with server.client(host=host) as browser:
        assert (await browser.get("/who")).status_code == 421


async def test_a_body_without_end_is_refused(server: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    async with server.client(origin=URL) as browser:
        assert (await browser.post("/change/dev", content=b"x" * (1 << 21))).status_code == 413
        await server.signed_in(browser)
        token = token_in((await browser.get("/form")).text)
        long = await browser.post("/change/dev", content=endless(), headers={"x-liftlock-form": token})
        assert long.status_code == 413
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await browser.post("/change/dev", content=endless(), headers=form)).status_code == 413


async def test_only_proxies_of_the_project_say_where_a_request_came_from() -> None:
    async with serving(with_github(proxies=("10.0.0.0/8",))) as server:
        for client, said, expected in (
            ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ):
            async with server.client(client, **{"x-forwarded-for": said}) as browser:
                await server.signed_in(browser)
                assert (await browser.get("/who")).json()["address"] == expected


async def test_a_token_gives_what_it_says_and_no_more_than_its_owner_has(server: Server) -> None:
    tokens: Tokens = server.access.tokens
    rights = {"dev": frozenset({Right.PROMOTE}), "production": frozenset({Right.PROMOTE, Right.APPROVE})}
    text, token = await tokens.create("laptop", rights, created_by="ada", owner="ada", groups=frozenset())
    async with server.client(authorization=f"Bearer {text}") as program:
        told = (await program.get("/who")).json()
        assert told["rights"] == {"dev": ["promote"], "production": []}  # she is in no team, and no approver
        assert (
            await program.post("/change/dev")
        ).status_code == 200  # no form is needed: no browser sends it
        assert (await program.post("/change/production")).status_code == 403
        await tokens.know_groups("ada", frozenset({"team:example/releases"}))
        assert (await program.post("/change/production")).status_code == 200
        await tokens.revoke(token.id, "ada")
        refused = await program.post("/change/dev")
    assert refused.status_code == 401
    assert text not in refused.text
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_ends_with_its_time(server: Server) -> None:
    text, _ = await server.access.tokens.create(
        "ci", {"dev": frozenset({Right.PROMOTE})}, created_by="root", lasts_s=60
    )
    async with server.client(authorization=f"Bearer {text}") as program:
        assert (await program.get("/who")).json()["account"] == "token:ci"
        server.clock.at += 61
        assert (await program.get("/who")).status_code == 401


async def test_guessing_tokens_ends_soon(server: Server) -> None:
    text, _ = await server.access.tokens.create("ci", {"dev": frozenset({Right.SEE})}, created_by="root")
    guess = text[:-1] + ("a" if text[-1] != "a" else "b")
    async with server.client("198.51.100.9", authorization=f"Bearer {guess}") as mallory:
        codes = [(await mallory.get("/who")).status_code for _ in range(62)]
        assert codes == [401] * 60 + [429] * 2
    async with server.client("203.0.113.7", authorization=f"Bearer {text}") as program:
        assert (await program.get("/who")).status_code == 200
    async with server.client("2001:db8::1", authorization="Bearer x") as first:
        for _ in range(60):
            await first.get("/who")
    async with server.client("2001:db8::2", authorization="Bearer x") as neighbour:
        assert (await neighbour.get("/who")).status_code == 429  # one subscriber has a whole network


@pytest.mark.parametrize(
    "said", ["Basic YTpi", "Bearer", "Bearer \0", "bearer " + "x" * 5000, "Bearer liftlock__"]
)
async def test_what_is_no_token_is_refused(server: Server, said: str) -> None:
    async with server.client() as program:
        assert (await program.get("/who", headers={b"authorization": said.encode()})).status_code == 401


async def test_two_cookies_of_one_name_are_none(server: Server) -> None:
    """A neighbouring host can add a cookie; which one would win is not ours to guess."""
    async with server.client() as browser:
        await server.signed_in(browser)
        mine = browser.cookies["__Host-liftlock"]
    async with server.client(cookie=f"__Host-liftlock=planted; __Host-liftlock={mine}") as both:
        assert (await both.get("/who")).status_code == 303


async def test_without_https_the_cookie_is_of_this_port() -> None:
    async with serving(Serve()) as server, server.client("127.0.0.1", "http://localhost:8420") as browser:
        from liftlock.web.access.sign_in import new_link

        back = await browser.get(await new_link(server.access.store, server.clock()))
        assert "liftlock-8420=" in back.headers["set-cookie"]
        assert "Secure" not in back.headers["set-cookie"]
