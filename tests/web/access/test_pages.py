"""Signing in, tokens and the audit log, as people see them; and what no page may show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import liftlock.web
from liftlock.model import Commit, Kind, Serve, State
from liftlock.ports import NewIntent
from liftlock.web.access.people import Right
from tests.commands.world import World
from tests.doubles import deployment, release
from tests.web.access.served import GITHUB
from tests.web.served import BASE, served

pytestmark = pytest.mark.anyio
TEMPLATES = Path(liftlock.web.__file__).with_name("templates")
ROLES = {
    "dev": {"see": ("*",)},
    "staging": {"promote": ("ada",), "administer": ("grace",)},
    "production": {},
}


def people() -> World:
    """A world whose server people sign in to by name."""
    world = World()
    world.project = replace(world.project, serve=Serve(github=GITHUB, roles=ROLES))
    return world


def test_every_form_that_changes_something_carries_the_sessions_token() -> None:
    forms = [
        (path.name, form)
        for path in TEMPLATES.glob("*.html")
        for form in re.findall(r'<form[^>]*method="post".*?</form>', path.read_text("utf-8"), re.DOTALL)
    ]
    assert len(forms) > 5
    assert [name for name, form in forms if "{{ token() }}" not in form] == []


def test_no_template_has_a_script_or_a_style_of_its_own() -> None:
    """The policy forbids them; and nothing of a page is ever marked as safe."""
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?! src=)|<style|\son[a-z]+=|javascript:|\|\s*safe|autoescape", text), (
            path.name
        )


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back() -> None:
    async with served(people()) as browser:
        browser.client.cookies.clear()
        answer = await browser.client.get("/history?app=ODB")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fhistory%3Fapp%3DODB"
        html = await browser.get(answer.headers["location"])
        assert 'href="/sign-in/start?next=%2Fhistory%3Fapp%3DODB"' in html
        assert "Sign in with GitHub" in html
        for path in (
            "/",
            "/live",
            "/account",
            "/audit",
            "/plan/dev/staging",
            "/environments/staging",
            "/numbers",
        ):
            assert (await browser.client.get(path)).status_code == 303, path


async def test_a_session_of_the_link_is_worth_nothing_once_people_sign_in() -> None:
    async with served(people()) as browser:
        assert (await browser.client.get("/plan/dev/staging")).status_code == 403


async def test_a_token_is_shown_once_and_works_until_it_is_revoked() -> None:
    async with served(people(), account="ada") as browser:
        fields = {"name": "laptop", "right": "staging/promote", "expires_in": "7d"}
        made = await browser.post("/account/tokens", fields)
        (text,) = re.findall(r"liftlock_\w{12}_[\w-]{43}", made.text)
        assert text not in await browser.get("/account")
        headers = {"authorization": f"Bearer {text}", "cookie": ""}
        assert (await browser.client.get("/api/v1/me", headers=headers)).json()["rights"] == {
            "staging": ["see", "promote"]
        }
        id_ = text.split("_")[1]
        await browser.post(f"/account/tokens/{id_}/revoke", {})
        assert (await browser.client.get("/api/v1/me", headers=headers)).status_code == 401


async def test_nobody_makes_a_token_for_more_than_they_may() -> None:
    async with served(people(), account="ada") as browser:
        for right in ("staging/approve", "production/see", "nowhere/see"):
            refused = await browser.post("/account/tokens", {"name": "x", "right": right})
            assert refused.status_code == 403
        assert (
            await browser.post("/account/tokens", {"name": "", "right": "staging/see"})
        ).status_code == 400


async def test_nobody_revokes_anothers_token() -> None:
    async with served(people(), account="ada") as browser:
        access = browser.access
        _, token = await access.tokens.create(
            "x", {"staging": frozenset({Right.SEE})}, created_by="grace", owner="grace"
        )
        assert (await browser.post(f"/account/tokens/{token.id}/revoke", {})).status_code == 404
        kept = await access.tokens.get(token.id)
        assert kept is not None
        assert kept.revoked_at is None


async def test_the_audit_log_is_for_who_administers_and_of_what_they_do() -> None:
    async with served(people(), account="ada") as browser:
        assert (await browser.client.get("/audit")).status_code == 403
    async with served(people(), account="grace") as browser:
        await browser.access.audit.write(None, "sign-in", outcome="refused", address="198.51.100.1")
        await browser.access.audit.write(None, "promotion", environment="production")
        said = await browser.text("/audit")
        assert "198.51.100.1" in said
        assert "production" not in said


async def test_every_change_is_in_the_audit_log_with_who_and_how_it_ended() -> None:
    async with served(people(), account="ada") as browser:
        await browser.post("/environments/staging/lease", {"reason": "mine now"})
        await browser.post("/environments/staging/resume", {"choice": "undo"})
        await browser.post("/nothing", {})
        lines = await browser.access.audit.read()
        told = [(line.account, line.via, line.action, line.environment, line.outcome) for line in lines]
        assert told == [
            ("ada", "session", "post", "", "failed"),
            ("ada", "session", "resume", "staging", "done"),
            ("ada", "session", "administer", "staging", "refused"),
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/../../app.py",
        "/static/x/..%2f..%2fapp.py",
        "/static/x/%2e%2e/app.py",
        "/static/x//etc/passwd",
        "/environments/..%2f..%2f",
        "/runs/..%2f..%2fetc%2fpasswd",
        "/promotions/%00",
        "//evil.example/",
        "/sign-in/link/..%2f",
        "/apps/%F0%28%8C%BC",
    ],
)
async def test_a_path_leads_to_pages_alone(path: str) -> None:
    async with served(people(), account="ada") as browser:
        answer = await browser.client.get(f"{BASE}{path}")
        assert answer.status_code in {303, 400, 403, 404, 409}, answer.status_code
        assert "root:" not in answer.text
        assert "create_app" not in answer.text


async def test_what_others_wrote_is_text_on_every_page() -> None:
    """A commit's subject, an author, a reason: whoever can push could write a script there."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    world = World()
    about = Commit("c" * 40, subject=evil, author=evil, login=evil)
    for number, app in enumerate(world.project.apps):
        of = replace(release(app, "c"), about=about)
        world.ledger.put(replace(deployment(app, "dev", of, 900 + number), creator=evil, state=State.SUCCESS))
    intent = await world.ledger.open_intent(
        NewIntent(
            "k",
            Kind.PROMOTION,
            "staging",
            evil,
            "5" * 64,
            {"ODB": release("ODB", "c")},
            {},
            {},
            overrides={"soak": evil},
        )
    )
    await world.ledger.close_intent(intent, State.FAILURE, evil)
    seen = 0
    async with served(world) as browser:
        for path in ("/", "/history", "/environments/staging", "/apps/ODB", "/plan/dev/staging"):
            html = await browser.get(path)
            assert "<script>alert" not in html, path
            assert "<img src=x" not in html, path
            seen += "&lt;script&gt;alert" in html
    assert seen > 2
