"""Orders, from the form to the record: run as they were shown, one at a time, and told as they go."""

from __future__ import annotations

import re
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from liftlock.errors import NotHealthy
from liftlock.model import Gates, Known, Serve, State
from liftlock.web.work.orders import Order, OrderKind, WorkState
from tests.commands.world import World
from tests.doubles import release
from tests.web.served import Browser, served, words

pytestmark = pytest.mark.anyio


def digest_on(html: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', html)
    assert found, html
    return found[1]


async def promoted(browser: Browser, **fields: str) -> str:
    """Promote dev to staging by the page's form; gives the path of the run."""
    html = await browser.get("/plan/dev/staging")
    answer = await browser.post("/plan/dev/staging", {"digest": digest_on(html), **fields})
    assert answer.status_code == 303, words(answer.text)
    return answer.headers["location"]


async def ended(browser: Browser, path: str) -> str:
    """The run's page, once it is over."""
    with anyio.fail_after(10):
        async for _ in browser.work.events(path.rpartition("/")[2]):
            pass
    return await browser.get(path)


async def test_a_plan_shows_order_and_commits_and_is_promoted_as_it_was_shown() -> None:
    world = World()
    async with served(world) as browser:
        said = await browser.text("/plan/dev/staging")
        assert "Lift dev → staging" in said or "Lift dev" in said
        assert "all is in place and backed up" in said
        assert "Nothing is switched before every backup is complete" in said
        assert "a000000 → b000000" in said
        page = await ended(browser, await promoted(browser))
        assert "succeeded" in words(page)
        (intent,) = await world.ledger.intents("staging", 5)
        assert intent.state is State.SUCCESS
        assert "runs the new" in words(page)
        record = await browser.text(f"/promotions/{intent.id}")
        assert "succeeded" in record
        assert "SSO backup done" in record  # the same story, by the ledger's id


async def test_the_record_of_a_promotion_by_somebody_else_has_its_bars_too() -> None:
    world = World()
    await world.run(world.plan)
    (intent,) = await world.ledger.intents("staging", 5)
    async with served(world) as browser:
        html = await browser.get(f"/promotions/{intent.id}")
    assert 'class="bar release done"' in html
    assert "all is in place and backed up" in html


async def test_a_plan_that_moved_since_it_was_shown_is_refused_and_changes_nothing() -> None:
    world = World()
    async with served(world) as browser:
        digest = digest_on(await browser.get("/plan/dev/staging"))
        world.platform.runs["ODB", "staging"] = Known(release("ODB", "x").artifacts)
        answer = await browser.post("/plan/dev/staging", {"digest": digest})
        said = words(await ended(browser, answer.headers["location"]))
    assert "The plan that was seen no longer holds: staging has moved since." in said
    assert "refused" in said
    assert world.platform.log == []


async def test_a_failure_is_told_with_what_runs_now() -> None:
    world = World()
    world.platform.fails["settle", "ODB"] = NotHealthy("ODB is not healthy.\nline of its log")
    async with served(world) as browser:
        html = await ended(browser, await promoted(browser))
    said = words(html)
    assert "ODB is not healthy." in said
    assert "line of its log" in said
    assert "runs as before" in said
    assert "Putting back, last switched first" in said
    assert 'class="bar verify failed"' in html


async def test_where_the_configuration_says_so_the_name_must_be_typed() -> None:
    world = World()
    world.project = replace(world.project, serve=Serve(confirm=("staging",)))
    async with served(world) as browser:
        html = await browser.get("/plan/dev/staging")
        assert "to confirm" in words(html)
        digest = digest_on(html)
        for typed in ("", "dev"):
            answer = await browser.post("/plan/dev/staging", {"digest": digest, "confirm": typed})
            assert answer.status_code == 422
            assert "Type the name of the environment, staging" in words(answer.text)
        assert await browser.work.items() == []
        answer = await browser.post("/plan/dev/staging", {"digest": digest, "confirm": "staging"})
        assert answer.status_code == 303


async def test_a_gate_says_what_it_lacks_and_passes_with_a_reason_alone() -> None:
    world = World(gates=Gates(soak_s=86400))
    async with served(world) as browser:
        html = await browser.get("/plan/dev/staging")
        assert "soak refuses" in words(html)
        digest = digest_on(html)
        wrong = await browser.post("/plan/dev/staging", {"digest": digest, "override": "soak"})
        assert "Overriding soak needs a reason." in words(wrong.text)
        refused = await browser.post("/plan/dev/staging", {"digest": digest})
        assert "a gate refused" in words(await ended(browser, refused.headers["location"]))
        right = await browser.post(
            "/plan/dev/staging", {"digest": digest, "override": "soak", "reason": "hotfix"}
        )
        assert "soak: hotfix" in words(await ended(browser, right.headers["location"]))
    (intent,) = await world.ledger.intents("staging", 5)
    assert intent.overrides == {"soak": "hotfix"}


async def test_drift_is_overwritten_only_where_that_was_said() -> None:
    world = World()
    world.platform.runs["ODB", "staging"] = Known(release("ODB", "x").artifacts)
    async with served(world) as browser:
        html = await browser.get("/plan/dev/staging")
        assert "Overwrite what runs there unrecorded" in words(html)
        digest = digest_on(html)
        refused = await browser.post("/plan/dev/staging", {"digest": digest})
        assert "refused" in words(await ended(browser, refused.headers["location"]))
        right = await browser.post("/plan/dev/staging", {"digest": digest, "accept_drift": "1"})
        assert "succeeded" in words(await ended(browser, right.headers["location"]))


async def test_apps_by_name_are_planned_alone() -> None:
    async with served(World()) as browser:
        said = await browser.text("/plan/dev/staging?app=SSO")
        assert "left behind" in said
        path = "/plan/dev/staging?app=Nope"
        assert "There is no app 'Nope'" in await browser.text(path)


async def test_a_rollback_is_planned_and_run() -> None:
    world = World()
    await world.run(world.plan)
    async with served(world) as browser:
        html = await browser.get("/rollback/staging")
        assert "Roll staging back" in words(html)
        answer = await browser.post("/rollback/staging", {"digest": digest_on(html)})
        assert "succeeded" in words(await ended(browser, answer.headers["location"]))
    assert world.platform.runs["SSO", "staging"].artifacts == release("SSO", "a").artifacts


async def test_one_environment_does_one_at_a_time_and_the_next_one_waits() -> None:
    world = World()
    world.platform.takes_s["stage"] = 0.2
    async with served(world) as browser:
        first = await promoted(browser)
        second = await promoted(browser)
        said = await browser.text(second)
        assert "waits" in said
        assert "It waits its turn." in said
        assert "succeeded" in words(await ended(browser, first))
        # The first one did all of it: what the second one was shown is done.
        assert "needs nothing any more" in words(await ended(browser, second))


async def test_a_queued_order_can_be_withdrawn_and_a_running_one_stopped() -> None:
    world = World()
    world.platform.takes_s["stage"] = 30
    async with served(world) as browser:
        first, second = await promoted(browser), await promoted(browser)
        assert (await browser.post(f"{second}/withdraw", {})).status_code == 303
        assert "withdrawn" in await browser.text(second)
        while not world.platform.log:
            await anyio.lowlevel.checkpoint()  # until it stages
        assert (await browser.post(f"{first}/withdraw", {})).status_code == 303
        said = words(await ended(browser, first))
    assert "stopped by" in said
    assert world.platform.runs["SSO", "staging"].artifacts == release("SSO", "a").artifacts


async def test_what_was_interrupted_can_be_resumed_from_its_environment() -> None:
    world = World()
    from liftlock.model import Kind
    from liftlock.ports import NewIntent

    plan = await world.plan()
    await world.ledger.open_intent(
        NewIntent(
            key="killed",
            kind=Kind.PROMOTION,
            environment="staging",
            source="dev",
            plan_digest=plan.digest,
            releases={a.app: a.release for a in plan.changes if a.release},
            replaced={},
            before={a.app: a.before.artifacts for a in plan.changes if a.before},
        )
    )
    async with served(world) as browser:
        html = await browser.get("/environments/staging")
        assert "stands open" in words(html)
        assert "Finish it" in words(html)
        answer = await browser.post("/environments/staging/resume", {"choice": "finish"})
        assert "succeeded" in words(await ended(browser, answer.headers["location"]))
    assert world.platform.runs["SSO", "staging"].artifacts == release("SSO", "b").artifacts


async def test_a_server_that_stops_settles_what_runs() -> None:
    world = World()
    world.platform.takes_s["stage"] = 30
    with anyio.fail_after(10):
        async with served(world) as browser:
            path = await promoted(browser)
            while not world.platform.log:
                await anyio.lowlevel.checkpoint()
            work = browser.work
    item = await work.item(path.rpartition("/")[2])
    assert item is not None
    assert item.state is WorkState.ENDED
    (intent,) = await world.ledger.intents("staging", 5)
    assert intent.state is State.FAILURE  # and not left open


async def test_a_lease_is_broken_with_a_reason() -> None:
    world = World()
    await world.adapters.leases.take("staging", "a promotion that was killed")
    async with served(world) as browser:
        assert "a promotion that was killed" in await browser.text("/environments/staging")
        nothing = await browser.post("/environments/staging/lease", {"reason": ""})
        assert "not broken without a reason" in words(nothing.text)
        done = await browser.post("/environments/staging/lease", {"reason": "the runner was lost"})
        assert done.status_code == 303
    assert await world.adapters.leases.holding("staging") is None


async def test_a_form_of_another_page_is_refused() -> None:
    async with served(World()) as browser:
        answer = await browser.client.post(
            "/environments/staging/resume", data={}, headers={"origin": "http://evil.example"}
        )
        assert answer.status_code == 403


async def test_whoever_is_notified_is_led_to_the_page_of_the_promotion() -> None:
    world = World()
    world.project = replace(world.project, serve=Serve(url="https://lift.example/"))
    async with served(world) as browser:
        await ended(browser, await promoted(browser))
        (intent,) = await world.ledger.intents("staging", 5)
        (told,) = world.notifier.told
        assert told.url == f"https://lift.example/promotions/{intent.id}"
        assert "succeeded" in await browser.text(f"/promotions/{intent.id}")


async def test_an_approval_is_given_on_the_plan_and_ones_own_does_not_count() -> None:
    world = World(gates=Gates(approvals=1))
    async with served(world) as browser:
        html = await browser.get("/plan/dev/staging")
        assert "approvals refuses" in words(html)
        digest = digest_on(html)
        given = await browser.post("/environments/staging/approve", {"digest": digest, "source": "dev"})
        assert given.headers["location"] == f"/plan/dev/staging?approved={digest}"
        assert "You have approved this plan." in await browser.text(given.headers["location"])
        assert "You have approved" not in await browser.text(f"/plan/dev/staging?approved={'0' * 64}")
        (approval,) = await world.ledger.approvals("staging", digest)
        assert approval.account == "requester"
        assert "approvals refuses" in await browser.text("/plan/dev/staging")
        world.approved(await world.plan(), "somebody-else")
        browser.reading.outdate()
        assert "approvals passed" in await browser.text("/plan/dev/staging")
        assert "approve what waits in dev" in await browser.text("/environments/staging")


async def test_an_order_of_a_kind_that_is_not_known_is_shown_and_changes_nothing() -> None:
    """A newer liftlock beside this one took it."""
    world = World()
    async with served(world) as browser:
        item = await browser.work.submit(Order(OrderKind.UNKNOWN, "staging", "ana"))
        async for _ in browser.work.events(item.id):
            pass
        shown = await browser.text(f"/runs/{item.id}")
        assert "Unknown work of staging" in shown
        assert "this liftlock does not know what was asked for" in shown
        await browser.get("/environments/staging")
        assert not await world.ledger.intents("staging", 5)
