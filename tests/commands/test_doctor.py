"""What the doctor makes of GitHub's answers, of answers that do not come, and of clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.commands.doctor import Examined, Health, examine
from liftlock.commands.doctor_github import github_probes
from liftlock.config import parse
from liftlock.errors import LiftlockError
from liftlock.http import Http
from liftlock.probes import Finding, Probe

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PROJECT = parse(
    """
[project]
name = "shop"
repository = "example/shop"
[environments.production]
[apps.shop]
heroku = "shop-{env}"
processes.web = { image = "shop" }
""",
    Path("liftlock.toml"),
    {},
)
USER = {"login": "ada"}
REPOSITORY = {
    "full_name": "example/shop", "default_branch": "main", "html_url": "https://github.com/example/shop",
    "permissions": {"push": True},
}  # fmt: skip


async def told(
    *,
    user: tuple[int, Any] = (200, USER),
    repository: Any = REPOSITORY,
    headers: dict[str, str] | None = None,
    now: datetime = NOW,
    remaining: int = 4000,
) -> dict[str, Examined]:
    """What the probes of GitHub come to, by what they try."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        given = {
            "date": format_datetime(NOW, usegmt=True),
            "content-type": "application/json",
            **(headers or {}),
        }
        document: Any = (
            [] if "matching-refs" in path or "deployments" in path or "pulls" in path else {"sha": "a" * 40}
        )
        status = 200
        if path == "/user":
            status, document = user
        elif path == "/rate_limit":
            document = {"resources": {"core": {"remaining": remaining, "limit": 5000}}}
        elif path == "/repos/example/shop":
            document = repository
        return httpx2.Response(status, headers=given, content=json.dumps(document))

    http = Http("github", "https://api.github.com", transport=httpx2.MockTransport(answer))
    results = await examine(github_probes(PROJECT, lambda: http, lambda: now))
    await http.aclose()
    return {one.what: one for one in results}


async def test_a_classic_token_tells_its_scopes() -> None:
    found = await told(headers={"x-oauth-scopes": "repo, workflow"})
    assert {one.health for one in found.values()} == {Health.WELL}
    assert found["token"].said == "ada; classic, scopes repo, workflow"


async def test_a_classic_token_without_the_scope_is_told_what_to_give_it() -> None:
    found = await told(headers={"x-oauth-scopes": "gist"})
    assert found["token"].health is Health.MEND
    assert "Give it the scope repo" in found["token"].hint


async def test_a_fine_grained_token_is_believed_as_far_as_it_can_be_tried() -> None:
    found = await told()
    assert found["token"].said == "ada; fine-grained"
    assert found["example/shop"].health is Health.NOTE
    assert "deployments: write" in found["example/shop"].said


async def test_a_token_that_expires_soon_deserves_a_look() -> None:
    soon = {"github-authentication-token-expiration": "2026-11-25 12:00:00 UTC"}
    token = (await told(headers=soon))["token"]
    assert token.health is Health.NOTE
    assert "expires in 3 days, on 2026-11-25" in token.said


async def test_an_installation_of_an_app_may_not_ask_who_it_is_and_that_is_well() -> None:
    refused = (403, {"message": "Resource not accessible by integration"})
    assert "GitHub App" in (await told(user=refused))["token"].said


@pytest.mark.parametrize(
    ("change", "words"),
    [({"permissions": {"push": False, "pull": True}}, "may only read"), ({"archived": True}, "is archived")],
)
async def test_a_repository_that_cannot_be_written_is_told(change: dict[str, Any], words: str) -> None:
    found = (await told(repository=REPOSITORY | change))["example/shop"]
    assert found.health is Health.MEND
    assert words in found.said


@pytest.mark.parametrize(("seconds", "health"), [(1, Health.WELL), (-20, Health.WELL), (95, Health.MEND)])
async def test_the_clock_is_held_against_github_s(seconds: int, health: Health) -> None:
    clock = (await told(now=NOW + timedelta(seconds=seconds)))["this machine's clock"]
    assert clock.health is health


async def test_a_budget_that_is_nearly_spent_deserves_a_look() -> None:
    assert (await told(remaining=12))["requests left"].health is Health.NOTE


async def test_all_are_tried_at_once_each_with_its_own_limit() -> None:
    met = anyio.Event()

    async def first() -> Finding:
        await met.wait()
        return Finding("came")

    async def second() -> Finding:
        met.set()
        raise LiftlockError("broken", hint="mend it")

    async def never() -> Finding:
        await anyio.sleep_forever()
        raise AssertionError

    probes = [Probe("a", run.__name__, run) for run in (first, second, never)]
    results = await examine(probes, limit_s=0.2)
    assert [one.health for one in results] == [Health.WELL, Health.MEND, Health.MEND]
    assert (results[1].hint, results[2].said) == ("mend it", "no answer within 0.2 s.")
