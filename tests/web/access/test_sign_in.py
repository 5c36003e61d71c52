"""Signing in through GitHub, an OpenID Connect provider, or by a one-time link: who it is, and who it is not."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey

from liftlock.model import Serve
from liftlock.web.access.sessions import GRACE_S, IDLE_S, LONGEST_S, ROTATE_S
from liftlock.web.access.sign_in import new_link
from tests.web.access.providers import SECRET
from tests.web.access.served import ROLES, URL, host_of, serving, with_github, with_oidc

pytestmark = pytest.mark.anyio


async def test_github_says_who_somebody_is_and_in_which_teams(database: str) -> None:
    async with serving(with_github(), database=database) as server, server.client() as browser:
        back = await server.signed_in(browser, "/who")
        assert (back.status_code, back.headers["location"]) == (303, "/who")
        told = (await browser.get("/who")).json()
    assert told == {
        "account": "ada",
        "via": "session",
        "address": "203.0.113.7",
        "rights": {"dev": ["promote", "see"], "production": ["promote", "see"]},
    }


async def test_who_is_in_no_team_has_no_right_of_one() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        server.provider.teams = ("example/others",)
        server.provider.login = "ADA"
        await server.signed_in(browser)
        told = (await browser.get("/who")).json()
    assert told["rights"]["production"] == ["see"]  # GitHub's names are the same in any case


async def test_a_provider_says_who_somebody_is_and_in_which_groups() -> None:
    async with serving(with_oidc()) as server, server.client() as browser:
        server.provider.claims = {"email": "grace@example.com"}
        await server.signed_in(browser)
        told = (await browser.get("/who")).json()
    assert told["account"] == "grace@example.com"
    assert told["rights"]["production"] == ["promote", "see"]


async def test_a_claim_is_compared_as_it_stands() -> None:
    async with serving(with_oidc()) as server, server.client() as browser:
        server.provider.claims = {"email": "Grace@example.com", "groups": ["LEADS"]}
        await server.signed_in(browser)
        told = (await browser.get("/who")).json()
    assert told["rights"]["production"] == []


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"email_verified": False}, "has not verified"),
        ({"email": None}, "does not say the claim 'email'"),
        ({"email": "token:ci"}, "does not say the claim"),
        ({"aud": "another"}, "not for this sign-in"),
        ({"aud": ["liftlock", "another"]}, "for somebody else too"),
        ({"iss": "https://evil.example"}, "not for this sign-in"),
        ({"exp": 1}, "not for this sign-in"),
        ({"nonce": "another"}, "not for this sign-in"),
    ],
)
async def test_an_id_token_that_is_not_for_this_very_sign_in_is_refused(claims: Any, why: str) -> None:
    async with serving(with_oidc()) as server, server.client() as browser:
        server.provider.claims = claims
        back = await server.signed_in(browser)
        assert why in back.json()["detail"]
        assert (await browser.get("/who")).status_code == 303
        (line,) = await server.access.audit.read()
        assert (line.action, line.outcome, line.account) == ("sign-in", "refused", "")


async def test_an_id_token_of_somebody_elses_key_is_refused() -> None:
    async with serving(with_oidc()) as server, server.client() as browser:
        server.provider.signing = RSAKey.generate_key(2048, parameters={"kid": "one"})
        assert "not signed by it" in (await server.signed_in(browser)).json()["detail"]


async def test_an_id_token_that_is_signed_with_what_everybody_knows_is_refused() -> None:
    """The public key as a shared secret (HS256), the classic confusion; and no signature at all."""

    def made(algorithm: str, key: bytes) -> Callable[[str], str]:
        def id_token(nonce: str) -> str:
            whole = json.loads(base64.urlsafe_b64decode(token(nonce).split(".")[1] + "=="))
            signed = b".".join(_encoded(p) for p in ({"alg": algorithm, "kid": "one"}, whole))
            mac = hmac.new(key, signed, "sha256").digest() if key else b""
            return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()

        return id_token

    async with serving(with_oidc()) as server, server.client() as browser:
        token = server.provider.id_token
        for algorithm, key in (
            ("HS256", server.provider.key.as_pem(private=False)),
            ("HS256", SECRET.encode()),
            ("none", b""),
        ):
            server.provider.id_token = made(algorithm, key)  # type: ignore[method-assign,assignment]
            assert "not signed by it" in (await server.signed_in(browser)).json()["detail"]


def _encoded(part: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://169.254.169.254/latest/meta-data"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_a_provider_cannot_send_the_server_anywhere_but_over_https(described: Any) -> None:
    async with serving(with_oidc()) as server, server.client() as browser:
        server.provider.described = described
        begun = await browser.get("/sign-in/start")
        if begun.status_code == 303:
            assert begun.headers["location"].startswith("https://accounts.example.com/authorize?")
            back = await browser.get(
                f"/sign-in/callback?{server.provider.authorized(begun.headers['location'])}"
            )
            assert back.status_code == 409
        assert (await browser.get("/who")).status_code == 303
        assert all(path.startswith("https://accounts.example.com/") for path in server.provider.paths)


async def test_only_what_is_needed_is_asked_of_github() -> None:
    async def scope(serve: Serve, ledger: str) -> str:
        async with serving(serve, ledger=ledger) as server, server.client() as browser:
            begun = await browser.get("/sign-in/start")
            return parse_qs(urlsplit(begun.headers["location"]).query).get("scope", [""])[0]

    plain = {"dev": {"see": ("ada",)}}
    assert await scope(with_github(roles=plain), "github") == ""
    assert await scope(with_github(), "github") == "read:org repo_deployment"
    assert await scope(with_github(), "sqlite:///x.db") == "read:org"


async def test_a_sign_in_is_of_the_browser_that_began_it() -> None:
    """Whoever sends their own half-done sign-in to somebody signs nobody in as themselves."""
    async with serving(with_github()) as server, server.client() as mallory, server.client() as ada:
        begun = await mallory.get("/sign-in/start")
        query = server.provider.authorized(begun.headers["location"])
        back = await ada.get(f"/sign-in/callback?{query}")
        assert "begun in another browser" in back.json()["detail"]
        assert (await ada.get("/who")).status_code == 303


async def test_a_sign_in_is_good_once_and_not_for_ever() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        begun = await browser.get("/sign-in/start")
        query = server.provider.authorized(begun.headers["location"])
        browser_cookies = dict(browser.cookies)
        assert (await browser.get(f"/sign-in/callback?{query}")).status_code == 303
        browser.cookies.update(browser_cookies)
        assert (await browser.get(f"/sign-in/callback?{query}")).status_code == 409
        late = await browser.get("/sign-in/start")
        server.clock.at += 3600
        back = await browser.get(f"/sign-in/callback?{server.provider.authorized(late.headers['location'])}")
        assert back.status_code == 409


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\\\\evil",
        "/a\nb",
    ],
)
async def test_signing_in_leads_nowhere_but_here(next_: str) -> None:
    async with serving(with_github()) as server, server.client() as browser:
        back = await server.signed_in(browser, next_)
        assert back.headers["location"] == "/"


async def test_a_planted_session_is_never_taken_over() -> None:
    """Session fixation: the secret after signing in is a new one, whatever cookie was there before."""
    async with serving(with_github()) as server, server.client() as browser:
        browser.cookies.set("__Host-liftlock", "planted", domain=host_of(URL), path="/")
        await server.signed_in(browser)
        assert browser.cookies.get("__Host-liftlock", domain="") != "planted"
        async with server.client(cookie="__Host-liftlock=planted") as mallory:
            assert (await mallory.get("/who")).status_code == 303


async def test_the_cookie_is_for_this_server_over_https_alone() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        back = await server.signed_in(browser)
        (cookie,) = [c for c in back.headers.get_list("set-cookie") if c.startswith("__Host-liftlock=")]
        for part in ("; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"):
            assert part in cookie
        assert "Domain" not in cookie


async def test_a_session_gets_a_new_secret_and_the_old_one_ends() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        await server.signed_in(browser)
        old = browser.cookies["__Host-liftlock"]
        server.clock.at += ROTATE_S + 1
        assert (await browser.get("/who")).status_code == 200
        fresh = browser.cookies["__Host-liftlock"]
        assert fresh != old
        async with server.client(cookie=f"__Host-liftlock={old}") as late:
            assert (await late.get("/who")).status_code == 200  # requests that were under way
            server.clock.at += GRACE_S + 1
            assert (await late.get("/who")).status_code == 303
        assert (await browser.get("/who")).status_code == 200
        assert await server.access.sessions.find(fresh) is not None


async def test_a_session_ends_unused_and_ends_old() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        await server.signed_in(browser)
        server.clock.at += IDLE_S + 61
        assert (await browser.get("/who")).status_code == 303
        await server.signed_in(browser)
        for _ in range(int(LONGEST_S // (IDLE_S / 2))):
            server.clock.at += IDLE_S / 2
            await browser.get("/who")
        server.clock.at += 1
        assert (await browser.get("/who")).status_code == 303


async def test_signing_out_ends_the_session_at_the_server() -> None:
    async with serving(with_github()) as server, server.client(origin=URL) as browser:
        await server.signed_in(browser)
        stolen = browser.cookies["__Host-liftlock"]
        token = (await browser.get("/form")).text.partition('value="')[2].partition('"')[0]
        out = await browser.post("/sign-out", data={"form_token": token})
        assert out.status_code == 303
        async with server.client(cookie=f"__Host-liftlock={stolen}") as mallory:
            assert (await mallory.get("/who")).status_code == 303
        assert [line.action for line in await server.access.audit.read()] == ["sign-out", "sign-in"]


async def test_who_is_taken_out_of_a_role_has_lost_it_at_once() -> None:
    async with serving(with_github()) as server, server.client() as browser:
        await server.signed_in(browser)
        without = {**ROLES, "production": {}}
        server.access.project = replace(server.access.project, serve=with_github(roles=without))
        assert (await browser.get("/who")).json()["rights"]["production"] == []


async def test_the_one_time_link_is_good_once_from_this_machine() -> None:
    async with serving(Serve()) as server:
        path = await new_link(server.access.store, server.clock())
        async with server.client("203.0.113.7", "http://127.0.0.1:8420") as far:
            assert (await far.get(path)).status_code == 409
        async with server.client("127.0.0.1", "http://127.0.0.1:8420") as browser:
            assert (await browser.get(path)).headers["location"] == "/"
            told = (await browser.get("/who")).json()
            assert told["via"] == "link"
            assert told["rights"]["production"] == ["administer", "approve", "promote", "see"]
        async with server.client("127.0.0.1", "http://127.0.0.1:8420") as again:
            assert (await again.get(path)).status_code == 409


async def test_the_one_time_link_does_not_wait_for_ever_nor_stand_beside_a_sign_in() -> None:
    async with serving(Serve()) as server:
        path = await new_link(server.access.store, server.clock())
        server.clock.at += 601
        async with server.client("127.0.0.1", "http://127.0.0.1:8420") as browser:
            assert (await browser.get(path)).status_code == 409
    async with serving(with_github()) as server:
        path = await new_link(server.access.store, server.clock())
        async with server.client("127.0.0.1", "http://127.0.0.1:8420") as browser:
            assert (await browser.get(path)).status_code == 409


async def test_attempts_at_signing_in_are_limited_by_address() -> None:
    async with serving(Serve()) as server, server.client("127.0.0.1", "http://127.0.0.1:8420") as browser:
        codes = [(await browser.get(f"/sign-in/link/guess{n}")).status_code for n in range(12)]
        assert codes == [409] * 10 + [429] * 2
        server.clock.at += 600
        assert (await browser.get("/sign-in/link/guess")).status_code == 409


async def test_the_database_alone_lets_nobody_in_and_opens_no_token(tmp_path: Any) -> None:
    place = tmp_path / "serve.db"
    async with serving(with_github(), database=f"sqlite:///{place}") as server, server.client() as browser:
        await server.signed_in(browser)
        cookie = browser.cookies["__Host-liftlock"]
        session = await server.access.sessions.find(cookie)
        assert session is not None
        assert session.provider_token.startswith("gho_")
        text = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert cookie.encode() not in text
        assert session.provider_token.encode() not in text
        assert b"client-secret" not in text
