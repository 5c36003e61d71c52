"""What every ledger owes the core, whatever it is made of, as tests: see `ports.Ledger`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import pytest

from liftlock.model import Deployment, Kind, Recorded, Release, State, StepTime
from liftlock.ports import Ledger
from liftlock.testing.samples import APPS, BACKUP, RELEASES, containers, new_deployment, new_intent

PLAN = "5" * 64


class LedgerWorld(Protocol):
    """Your ledger, empty, of a project like `liftlock.testing.samples.sample_project`."""

    ledger: Ledger
    another: Callable[[], Ledger]
    """A further one over the same records, as another process or another machine has it."""
    account: str
    """Who we are to it."""


class LedgerContract:
    """Inherit from it and give it the fixture `world`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "asyncio"

    @pytest.fixture
    def ledger(self, world: LedgerWorld) -> Ledger:
        return world.ledger

    async def test_an_intent_is_read_as_it_was_written(self, world: LedgerWorld) -> None:
        new = new_intent()
        opened = await world.ledger.open_intent(new)
        (found,) = await world.another().read("staging", APPS).open_intents()
        assert found.id == opened.id
        assert found.is_open
        assert (found.kind, found.environment, found.source) == (Kind.PROMOTION, "staging", "dev")
        assert found.key == opened.key == new.key
        assert found.plan_digest == new.plan_digest
        assert found.releases == RELEASES
        assert found.before == new.before
        assert found.replaced == {"SSO": "17"}
        assert found.overrides == {"soak": "the sky is clear tonight"}
        assert found.creator == world.account
        assert found.created_at.tzinfo is not None

    async def test_opening_an_intent_again_gives_the_first_one_back(self, world: LedgerWorld) -> None:
        first = await world.ledger.open_intent(new_intent())
        assert (await world.ledger.open_intent(new_intent())).id == first.id
        assert (await world.another().open_intent(new_intent())).id == first.id
        assert len(await world.ledger.intents("staging", 10)) == 1

    async def test_a_closed_intent_tells_how_it_ended_and_is_not_open(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        await world.ledger.close_intent(intent, State.FAILURE, "ODB did not come up; all was put back")
        assert await world.another().read("staging", APPS).open_intents() == []
        (found,) = await world.another().intents("staging", 10)
        assert (found.state, found.description) == (State.FAILURE, "ODB did not come up; all was put back")
        assert found.finished_at is not None
        assert found.finished_at >= found.created_at

    async def test_a_description_of_any_length_is_taken(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        await world.ledger.close_intent(intent, State.ERROR, "long, " * 100)
        (found,) = await world.ledger.intents("staging", 10)
        assert found.description.startswith("long, long")

    async def test_open_intents_are_those_of_the_environment(self, world: LedgerWorld) -> None:
        await world.ledger.open_intent(new_intent("a", "production"))
        assert await world.ledger.read("staging", APPS).open_intents() == []

    async def test_intents_are_listed_newest_first_of_one_environment_or_of_all(
        self, world: LedgerWorld
    ) -> None:
        for number, environment in enumerate(("staging", "production", "staging")):
            opened = await world.ledger.open_intent(new_intent(str(number), environment))
            await world.ledger.close_intent(opened, State.SUCCESS, str(number))
        assert [i.description for i in await world.another().intents(None, 10)] == ["2", "1", "0"]
        assert [i.description for i in await world.another().intents("staging", 10)] == ["2", "0"]
        assert [i.description for i in await world.another().intents(None, 2)] == ["2", "1"]

    async def test_one_is_found_by_its_id(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        made = await world.ledger.record(new_deployment(RELEASES["SSO"], intent.id), intent)
        await world.ledger.mark(made, State.SUCCESS)
        await world.ledger.close_intent(intent, State.SUCCESS, "done")
        there = world.another()
        assert await there.intent_of(intent.id) == (await there.intents("staging", 1))[0]
        assert await there.deployment_of(made.id) == (await there.deployments("staging", "SSO", 1))[0]

    async def test_a_promotions_records_are_those_that_it_made_and_replaced(self, world: LedgerWorld) -> None:
        first = await world.ledger.open_intent(new_intent("first"))
        before = await world.ledger.record(new_deployment(RELEASES["SSO"], first.id), first)
        await world.ledger.mark(before, State.SUCCESS)
        await world.ledger.close_intent(first, State.SUCCESS, "")
        new = replace(new_intent("second"), replaced={"SSO": before.id, "ODB": "elsewhere#7"})
        second = await world.ledger.open_intent(new)
        made = await world.ledger.record(new_deployment(RELEASES["SSO"], second.id), second)
        await world.ledger.mark(made, State.SUCCESS)
        await world.ledger.close_intent(second, State.SUCCESS, "")
        there = world.another()
        intent = await there.intent_of(second.id)
        assert intent is not None
        found = await there.records_of(intent, ["SSO", "ODB"])
        assert {app: record.id for app, record in found.made.items()} == {"SSO": made.id}
        assert {app: record.id for app, record in found.replaced.items()} == {"SSO": before.id}
        assert (await there.records_of(intent, ["ODB"])).made == {}

    @pytest.mark.parametrize("id_", ["99999999", "", "no-number", "²", "-1", "9" * 40])
    async def test_an_id_that_nothing_has_finds_nothing(self, world: LedgerWorld, id_: str) -> None:
        intent = await world.ledger.open_intent(new_intent())
        made = await world.ledger.record(new_deployment(RELEASES["SSO"], intent.id), intent)
        assert await world.ledger.intent_of(id_) is None
        assert await world.ledger.deployment_of(id_) is None
        if made.id != intent.id:  # else promotions and records are counted apart
            assert await world.ledger.intent_of(made.id) is None
            assert await world.ledger.deployment_of(intent.id) is None

    async def test_a_rollback_says_what_it_takes_back(self, ledger: Ledger) -> None:
        await ledger.open_intent(new_intent(kind=Kind.ROLLBACK, source="", reverts="41"))
        (found,) = await ledger.intents("staging", 1)
        assert (found.kind, found.source, found.reverts) == (Kind.ROLLBACK, "", "41")

    @pytest.mark.parametrize("app", sorted(RELEASES))
    async def test_a_record_is_read_as_it_was_written(self, world: LedgerWorld, app: str) -> None:
        intent = await world.ledger.open_intent(new_intent())
        made = await world.ledger.record(new_deployment(RELEASES[app], intent.id), intent)
        await world.ledger.mark(made, State.SUCCESS, "from dev")
        current = (await recorded(world, app)).current
        assert current is not None
        assert current.id == made.id
        assert current.release == RELEASES[app] == made.release
        assert (current.app, current.environment) == (app, "staging")
        assert (current.state, current.reached_success) == (State.SUCCESS, True)
        assert (current.promotion, current.kind) == (intent.id, Kind.PROMOTION)
        assert (current.source_environment, current.replaced) == ("dev", "15")
        assert current.backups == (BACKUP,)

    async def test_a_record_keeps_the_times_of_its_steps(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        steps = {"release": StepTime(2.5, 31.25)}
        made = await world.ledger.record(new_deployment(containers(), intent.id, steps=steps), intent)
        assert made.steps == steps
        (found,) = await world.another().deployments("staging", "SSO", 1)
        assert found.steps == steps

    async def test_a_record_keeps_which_process_types_were_awake(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        awake = ("calibration", "web")
        made = await world.ledger.record(new_deployment(containers(), intent.id, awake=awake), intent)
        (found,) = await world.another().deployments("staging", "SSO", 1)
        assert made.awake == found.awake == awake

    async def test_a_record_counts_before_it_is_marked(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        made = await world.ledger.record(new_deployment(containers(), intent.id), intent)
        assert made.counts
        current = (await recorded(world)).current
        assert current is not None
        assert current.id == made.id

    async def test_an_intent_records_an_app_once(self, world: LedgerWorld) -> None:
        intent = await world.ledger.open_intent(new_intent())
        new = new_deployment(containers(), intent.id)
        first = await world.ledger.record(new, intent)
        assert (await world.ledger.record(new, intent)).id == first.id
        assert (await world.another().record(new, intent)).id == first.id
        assert len(await world.ledger.deployments("staging", "SSO", 10)) == 1

    async def test_a_record_that_failed_is_shown_and_the_one_before_is_current(
        self, world: LedgerWorld
    ) -> None:
        good = await lift(world.ledger, containers(letter="a"), "1")
        bad = await lift(world.ledger, containers(letter="b"), "2", State.FAILURE)
        worse = await lift(world.ledger, containers(letter="c"), "3", State.ERROR)
        found = await recorded(world)
        assert found.current is not None
        assert found.current.id == good
        assert [d.id for d in found.failed_since] == [worse, bad]

    async def test_an_app_whose_every_record_failed_has_no_current_one(self, world: LedgerWorld) -> None:
        bad = await lift(world.ledger, containers(), "1", State.FAILURE)
        found = await recorded(world)
        assert found.current is None
        assert [d.id for d in found.failed_since] == [bad]

    async def test_a_later_inactive_is_display_only(self, world: LedgerWorld) -> None:
        await lift(world.ledger, containers(), "1")
        (deployment,) = await world.ledger.deployments("staging", "SSO", 1)
        await world.ledger.mark(deployment, State.INACTIVE, "replaced")
        current = (await recorded(world)).current
        assert current is not None
        assert (current.state, current.reached_success) == (State.INACTIVE, True)

    async def test_apps_that_share_an_environment_do_not_disturb_each_other(self, world: LedgerWorld) -> None:
        ids = {app: await lift(world.ledger, release, app) for app, release in RELEASES.items()}
        reading = world.another().read("staging", APPS)
        newest, found = await reading.newest(), await reading.recorded()
        assert {app: d.id for app, d in newest.items()} == ids
        assert {app: r.current.id for app, r in found.items() if r.current} == ids
        assert {app for app, r in found.items() if r.current is None} == set(APPS) - set(ids)
        assert all(r.current.state is State.SUCCESS for r in found.values() if r.current)

    async def test_history_is_newest_first_and_as_long_as_asked_for(self, world: LedgerWorld) -> None:
        ids = [await lift(world.ledger, containers(letter=letter), letter) for letter in "abc"]
        history = await world.another().deployments("staging", "SSO", 10)
        assert [d.id for d in history] == ids[::-1]
        assert [d.id for d in await world.another().deployments("staging", "SSO", 2)] == ids[:0:-1]
        assert all(d.reached_success for d in history)
        assert await world.ledger.deployments("production", "SSO", 10) == []

    async def test_history_is_looked_through_until_there_is_enough_of_what_is_wanted(
        self, world: LedgerWorld
    ) -> None:
        for number in range(4):
            await lift(world.ledger, containers(letter="abcd"[number]), str(number))
        asked: list[str] = []

        def second(record: Deployment) -> bool:
            asked.append(record.release.commit)
            return len(asked) == 2

        everything = await world.ledger.deployments("staging", "SSO", 10)
        (found,) = await world.another().deployments("staging", "SSO", 1, where=second)
        assert found == everything[1]
        assert len(asked) == 2
        assert await world.ledger.deployments("staging", "SSO", 10, since=everything[0].created_at) != []
        later = everything[0].created_at + timedelta(seconds=1)
        assert await world.ledger.deployments("staging", "SSO", 10, since=later) == []

    async def test_promotions_are_looked_through_until_there_is_enough_of_what_is_wanted(
        self, world: LedgerWorld
    ) -> None:
        for key in ("one", "two", "three"):
            await world.ledger.open_intent(new_intent(key=key))
        newest = await world.ledger.intents(None, 3)
        (found,) = await world.another().intents(None, 5, where=lambda i: i.id == newest[2].id)
        assert found.id == newest[2].id
        later = newest[0].created_at + timedelta(seconds=1)
        assert await world.ledger.intents("staging", 5, since=later) == []

    async def test_promotions_are_found_by_whose_they_are_and_when_they_began(
        self, world: LedgerWorld
    ) -> None:
        made = [await world.ledger.open_intent(new_intent(key=key)) for key in ("one", "two")]
        assert {intent.creator for intent in made} == {world.account}
        for environment in (None, "staging"):
            look = partial(world.another().intents, environment, 5)
            assert {i.id for i in await look(by=world.account.upper())} == {i.id for i in made}
            assert len(await look(by=world.account, where=lambda i: i.id == made[0].id)) == 1
            assert await look(by="nobody-of-this-name") == []
            assert await look(until=min(i.created_at for i in made)) == []
            later = max(i.created_at for i in made) + timedelta(seconds=1)
            assert len(await look(until=later)) == 2

    async def test_what_promotions_recorded_is_not_among_other_tools_records(
        self, world: LedgerWorld
    ) -> None:
        await lift(world.ledger, containers(), "SSO")
        for apps in (["SSO"], APPS):
            assert await world.another().others("staging", apps, 5) == []
            assert await world.another().others("staging", apps, 5, by=world.account) == []

    async def test_what_the_look_for_the_newest_records_shows_holds_the_earlier_ones_too(
        self, world: LedgerWorld
    ) -> None:
        for letter in "abc":
            await lift(world.ledger, containers(letter=letter), letter)
        earlier = await world.another().read("staging", APPS).earlier()
        assert [d.id for d in earlier["SSO"]] == [
            d.id for d in await world.ledger.deployments("staging", "SSO", 9)
        ]

    async def test_an_environment_without_any_record_is_empty(self, ledger: Ledger) -> None:
        reading = ledger.read("production", APPS)
        assert await reading.newest() == {}
        assert await reading.recorded() == {app: Recorded(None) for app in APPS}
        assert await reading.open_intents() == []
        assert await ledger.intents("production", 10) == []

    async def test_it_says_who_we_are(self, world: LedgerWorld) -> None:
        assert await world.ledger.account() == world.account

    async def test_an_approval_is_read_as_it_was_given(self, world: LedgerWorld) -> None:
        expires_at = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
        given = await world.ledger.approve("staging", PLAN, expires_at)
        assert (given.account, given.expires_at) == (world.account, expires_at)
        assert given.at.tzinfo is not None
        assert await world.another().approvals("staging", PLAN) == [given]

    async def test_approvals_are_those_of_one_plan_in_one_environment_newest_first(
        self, world: LedgerWorld
    ) -> None:
        expires_at = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
        await world.ledger.approve("staging", PLAN, expires_at)
        later = expires_at.replace(day=2)
        await world.ledger.approve("staging", PLAN, later)
        assert [a.expires_at for a in await world.another().approvals("staging", PLAN)] == [later, expires_at]
        assert await world.ledger.approvals("staging", "6" * 64) == []
        assert await world.ledger.approvals("production", PLAN) == []

    async def test_an_approval_is_no_promotion_and_no_record(self, world: LedgerWorld) -> None:
        await world.ledger.approve("staging", PLAN, datetime(2026, 12, 1, 12, 0, tzinfo=UTC))
        reading = world.another().read("staging", APPS)
        assert await reading.newest() == {}
        assert await reading.open_intents() == []
        assert await world.ledger.intents(None, 10) == []


async def recorded(world: LedgerWorld, app: str = "SSO", environment: str = "staging") -> Recorded:
    """As a process sees it that comes now."""
    found = await world.another().read(environment, APPS).recorded()
    assert set(found) == set(APPS)
    return found[app]


async def lift(ledger: Ledger, release: Release, key: str, state: State = State.SUCCESS) -> str:
    """A whole promotion of one app; returns its record's id."""
    intent = await ledger.open_intent(new_intent(key, releases={release.app: release}))
    deployment = await ledger.record(new_deployment(release, intent.id), intent)
    await ledger.mark(deployment, state, "it went")
    await ledger.close_intent(intent, State.SUCCESS, "1 released")
    return deployment.id
