"""The dashboard as people use it: in a real browser, by mouse, by keyboard, on a phone, and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from liftlock.errors import NotHealthy
from liftlock.model import Gates, Serve
from liftlock.web.access.people import Right
from tests.commands.world import World
from tests.web.access.served import GITHUB
from tests.web.browser.conftest import SESSIONS, Served, Visitor, listening, wait_until

axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGES = (
    "/",
    "/?show=trouble",
    "/history",
    "/history?by=nobody",
    "/numbers",
    "/plan/dev/staging",
    "/rollback/staging",
    "/plan/staging/production",
    "/apps/ODB",
    "/environments/staging",
    "/environments/staging/backups",
    "/promotions/PROMOTION",
    "/promotions/900",
    "/history?since=yesterday",
    "/account",
    "/audit",
    "/nowhere",
)
expect = sync_api.expect


@pytest.fixture
def site() -> Iterator[Served]:
    """A world whose steps take a moment, and that was promoted once before."""
    world = World()
    with listening(world) as served:
        served.promote_elsewhere()
        world.put("SSO", "d", 70, 900, "production")
        yield served


@pytest.fixture
def slow() -> Iterator[Served]:
    """A world in which dev waits to be lifted, and each step takes long enough to be seen."""
    world = World()
    world.platform.takes_s = {"stage": 0.4, "backup": 0.5, "release": 0.4, "settle": 0.4}
    with listening(world) as served:
        yield served


def pages(site: Served) -> list[str]:
    (intent, *_) = site.portal.call(site.world.ledger.intents, "staging", 1)
    return [site.url + path.replace("PROMOTION", intent.id) for path in PAGES]


def test_a_promotion_is_begun_on_its_plan_and_its_bars_fill_by_themselves(
    slow: Served, visitor: Callable[..., Visitor]
) -> None:
    page = visitor().goes(slow.url)
    page.get_by_role("link", name="Lift 3 from dev").click()
    expect(page.get_by_role("heading", name="How it goes")).to_be_visible()
    page.get_by_role("button", name="Promote to staging").click()
    page.wait_for_url(re.compile(r"/runs/\w+"))
    page.evaluate("window.isTheSame = true")
    expect(page.locator(".bar.running").first).to_be_attached()
    expect(page.locator(".bar.planned").first).to_be_attached()
    seen = set()
    while page.locator(".chip.big").inner_text() != "succeeded":
        seen.add(page.locator(".bar.done").count())
        page.wait_for_timeout(50)
    assert len(seen) > 3  # they fill step by step
    expect(page.locator(".bar.running")).to_have_count(0)
    expect(page.get_by_text("runs the new")).to_have_count(3)
    assert page.evaluate("window.isTheSame")  # nobody loaded the page again


def test_the_bars_of_a_promotion_that_runs_elsewhere_fill_too(
    slow: Served, visitor: Callable[..., Visitor]
) -> None:
    slow.world.platform.takes_s = {"stage": 0.5, "backup": 0.5, "release": 1.5, "settle": 1.5}
    ended = slow.portal.start_task_soon(slow.world.run, slow.world.plan)
    ledger = slow.world.ledger
    wait_until(lambda: bool(slow.portal.call(ledger.intents, "staging", 1)), "the promotion began")
    (intent,) = slow.portal.call(ledger.intents, "staging", 1)
    page = visitor().goes(f"{slow.url}/promotions/{intent.id}")
    expect(page.get_by_text("It has not ended.")).to_be_visible()
    page.evaluate("window.isTheSame = true")
    seen = set()
    while not ended.done():
        seen.add(page.locator(".bar.done").count())
        page.wait_for_timeout(50)
    assert len(seen) > 2, f"they did not fill: {seen}"
    slow.portal.call(slow.app.state.site.reading.outdate)
    expect(page.locator(".chip.big")).to_have_text("succeeded")
    assert page.evaluate("window.isTheSame")


def test_the_board_of_others_follows(slow: Served, visitor: Callable[..., Visitor]) -> None:
    page = visitor().goes(slow.url)
    expect(page.get_by_role("link", name="Lift 3 from dev")).to_be_visible()
    expect(page.locator("#pulse")).to_have_text("live")
    page.evaluate("window.isTheSame = true")
    slow.promote_elsewhere()
    expect(page.get_by_role("link", name="Lift 3 from dev")).to_have_count(0)
    assert page.evaluate("window.isTheSame")


def test_everything_is_done_by_keyboard_alone(slow: Served, visitor: Callable[..., Visitor]) -> None:
    page = visitor().goes(slow.url)

    def tab_to(words: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.innerText || ''")
            if focused.strip() == words:
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"nobody sees that {words} has the focus"
                return
        pytest.fail(f"the keyboard never came to {words}")

    tab_to("Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("Lift 3 from dev")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Promote to staging")).to_be_visible()
    tab_to("Promote to staging")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/\w+"))
    expect(page.locator(".chip.big")).to_have_text("succeeded")


def test_what_is_typed_and_focused_stays_while_the_page_is_made_new(
    visitor: Callable[..., Visitor],
) -> None:
    world = World()
    world.project = replace(world.project, serve=Serve(confirm=("staging",)))
    with listening(world) as served:
        page = visitor().goes(f"{served.url}/plan/dev/staging")
        field = page.get_by_label("Type staging to confirm")
        field.fill("stag")
        expect(page.locator("#pulse")).to_have_text("live")
        with page.expect_response(lambda answer: answer.url.endswith("/plan/dev/staging")):
            served.portal.call(served.changes.tell, "project")
        expect(field).to_be_focused()
        expect(field).to_have_value("stag")


def test_without_scripts_the_same_is_done_and_the_page_goes_on_by_itself(
    slow: Served, visitor: Callable[..., Visitor]
) -> None:
    page = visitor(java_script_enabled=False).goes(slow.url)
    page.get_by_role("link", name="Lift 3 from dev").click()
    page.get_by_role("button", name="Promote to staging").click()
    page.wait_for_url(re.compile(r"/runs/\w+"))
    expect(page.locator(".chip.big")).to_have_text("under way")
    expect(page.locator(".chip.big")).to_have_text("succeeded")


@pytest.mark.parametrize("width", [320, 360])
def test_no_page_is_wider_than_a_phone(site: Served, visitor: Callable[..., Visitor], width: int) -> None:
    one = visitor(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    wide = []
    for url in pages(site):
        page = one.goes(url)
        if (found := page.evaluate("document.documentElement.scrollWidth")) > width:
            wide.append(f"{url}: {found}")
    one.said.clear()  # a page that is not there is told there
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(site: Served, visitor: Callable[..., Visitor], scheme: str) -> None:
    one = visitor(color_scheme=scheme)
    # A world with all that can be said: what drifted, what is not known, what waits, what failed.
    site.world.platform.unknown.add("SSO")
    site.world.platform.runs["ODB", "staging"] = site.world.platform.runs["ODB", "dev"].__class__({})
    site.app.state.site.reading.outdate()
    found = []
    for url in pages(site):
        page = one.goes(url)
        found += [f"{url}: {line}" for line in violations(page)]
    one.said.clear()
    assert found == []


def violations(page: Any) -> list[str]:
    """What axe-core says against a page. Its script is evaluated: the page's own policy lets none in."""
    results = axe_playwright.Axe().run(page)
    assert len(results.response["passes"]) > 5, "axe looked at nothing"
    return [
        f"{one['id']}: {one['help']}: {', '.join(str(node['target']) for node in one['nodes'][:4])}"
        for one in results.response["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_what_failed_what_refuses_and_what_runs(
    visitor: Callable[..., Visitor], scheme: str
) -> None:
    world = World(gates=Gates(soak_s=10 * 86400))
    world.project = replace(world.project, serve=Serve(confirm=("staging",)))
    world.platform.fails["settle", "ODB"] = NotHealthy("ODB is not healthy.\nline one\nline two")
    world.platform.takes_s = {"stage": 0.6}
    one = visitor(color_scheme=scheme)
    with listening(world) as served:
        page = one.goes(f"{served.url}/plan/dev/staging")
        assert violations(page) == []
        page.get_by_label("Pass soak all the same").check()
        page.get_by_label("Why, for the record").fill("hotfix")
        page.get_by_label("Type staging to confirm").fill("staging")
        page.get_by_role("button", name="Promote to staging").click()
        expect(page.locator(".bar.running").first).to_be_attached()
        assert violations(page) == []
        expect(page.locator(".chip.big")).to_have_text("failed")
        assert violations(page) == []


def test_dark_is_dark_and_light_is_light(site: Served, visitor: Callable[..., Visitor]) -> None:
    def brightness(scheme: str) -> int:
        page = visitor(color_scheme=scheme).goes(site.url)
        colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    assert brightness("dark") < 120 < 600 < brightness("light")


def test_nobody_is_moved_who_asked_for_stillness(slow: Served, visitor: Callable[..., Visitor]) -> None:
    page = visitor(reduced_motion="reduce").goes(f"{slow.url}/plan/dev/staging")
    page.get_by_role("button", name="Promote to staging").click()
    expect(page.locator(".filled").first).to_be_attached()
    assert page.evaluate("getComputedStyle(document.querySelector('.filled')).transitionDuration") in {
        "0s",
        "",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_takes_what_strangers_owners_and_onlookers_see(
    visitor: Callable[..., Visitor], scheme: str
) -> None:
    """The pages that stand only for a while: sign-in, one's tokens, a plan that waits for approvals, a run elsewhere."""
    world = World(gates=Gates(approvals=1))
    world.platform.takes_s = {"settle": 30}
    everything = dict.fromkeys(map(str, Right), ("ada",))
    roles = dict.fromkeys(world.project.environments, everything)
    world.project = replace(world.project, serve=Serve(github=GITHUB, roles=roles))
    phone = {"viewport": {"width": 360, "height": 800}, "has_touch": True, "is_mobile": True}
    one, stranger = visitor(color_scheme=scheme, **phone), visitor(color_scheme=scheme, **phone)
    with listening(world) as served:

        def look(page: Any) -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, page.url
            assert violations(page) == [], page.url

        sessions, tokens = served.app.state.access.sessions, served.app.state.access.tokens
        session = served.portal.call(sessions.begin, "ada", "Ada", "session")
        SESSIONS[served.url] = SESSIONS[served.url][0], session.secret
        given = {"staging": frozenset(Right)}
        served.portal.call(partial(tokens.create, "deploys", given, created_by="ada", owner="ada"))
        stranger.page.goto(f"{served.url}/sign-in")
        look(stranger.page)
        page = one.goes(f"{served.url}/account")
        look(page)
        page.get_by_label("What it is for").fill("reports")
        page.get_by_label("see dev").check()
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_text("Your new token")).to_be_visible()
        look(page)
        look(one.goes(f"{served.url}/audit"))
        look(one.goes(f"{served.url}/plan/dev/staging"))
        world.approved(served.portal.call(world.plan), "grace")
        running = served.portal.start_task_soon(world.run, world.plan)
        wait_until(lambda: served.portal.call(world.ledger.intents, "staging", 1), "the promotion began")
        (intent,) = served.portal.call(world.ledger.intents, "staging", 1)
        page = one.goes(f"{served.url}/promotions/{intent.id}")
        expect(page.locator(".bar.running").first).to_be_attached()
        look(page)
        running.cancel()
