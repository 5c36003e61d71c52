"""Signing in at GitHub, as an OAuth app and a browser see it."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from tests.sandbox.serving import OWNER

pytestmark = pytest.mark.anyio
BACK = "http://127.0.0.1:8420/sign-in/callback"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "client_id": "app", "redirect_uri": BACK, "scope": "read:org repo_deployment", "state": "s&1",
    "code_challenge": CHALLENGE, "code_challenge_method": "S256",
}  # fmt: skip
APP = {"client_id": "app", "client_secret": "anything", "code_verifier": VERIFIER}


async def code_of(client: httpx2.AsyncClient, login: str = "ada") -> str:
    answer = await client.get("/login/oauth/authorize", params={**ASKED, "login": login})
    assert answer.status_code == 302
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
    query = parse_qs(back.query)
    assert query["state"] == ["s&1"]
    return query["code"][0]


async def token(client: httpx2.AsyncClient, **said: str) -> Any:
    headers = {"accept": "application/json"}
    return (await client.post("/login/oauth/access_token", data={**APP, **said}, headers=headers)).json()


async def test_a_code_becomes_the_persons_own_token_once(client: httpx2.AsyncClient) -> None:
    del client.headers["authorization"]
    code = await code_of(client)
    told = await token(client, code=code, redirect_uri=BACK)
    assert told == {"access_token": "user-ada", "scope": "read:org,repo_deployment", "token_type": "bearer"}
    user = await client.get("/user", headers={"authorization": f"Bearer {told['access_token']}"})
    assert user.json()["login"] == "ada"
    assert (await token(client, code=code))["error"] == "bad_verification_code"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"client_secret": ""}, "incorrect_client_credentials"),
        ({"client_id": "another"}, "bad_verification_code"),
        ({"code_verifier": "w" * 43}, "bad_verification_code"),
        ({"code": "0" * 20}, "bad_verification_code"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, "redirect_uri_mismatch"),
    ],
)
async def test_a_code_is_for_who_asked_for_it(client: httpx2.AsyncClient, said: Any, error: str) -> None:
    assert (await token(client, **{"code": await code_of(client), **said}))["error"] == error


async def test_a_code_is_good_for_ten_minutes(client: httpx2.AsyncClient) -> None:
    code = await code_of(client)
    await anyio.sleep(601)
    assert (await token(client, code=code))["error"] == "bad_verification_code"


async def test_without_a_name_the_page_asks_for_it(client: httpx2.AsyncClient) -> None:
    answer = await client.get(
        "/login/oauth/authorize", params={**ASKED, "scope": '"><script>'}, headers=OWNER
    )
    assert answer.status_code == 200
    assert 'name="login"' in answer.text
    assert 'name="state" value="s&amp;1"' in answer.text
    assert "<script>" not in answer.text
    assert (await client.get("/login/oauth/authorize", params={"login": "ada"})).status_code == 404
