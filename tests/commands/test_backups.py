"""Backups of an environment on the sandbox, on a virtual clock: taken, restored, kept, and refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from liftlock.commands.backups import Kept, capture_backups, find_backup, list_backups, plan_prune, prune
from liftlock.commands.promote import plan_promotion
from liftlock.commands.restore import Restored, backups_before, restore_databases
from liftlock.engine.backups import collapse
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.run import Run
from liftlock.errors import BackupFailed, Busy, LiftlockError, NeedsPerson, UsageError
from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.memory import Memory
from liftlock.model import App, Backup, Database, Deployment, Intent, Kind, Release, State
from liftlock.planning.plan import Action, AppPlan, Plan
from liftlock.ports import Adapters, NewIntent, Progress
from tests.commands.test_resume import World as Promotions
from tests.doubles import FakeClock, FakeDatabases, FakePlatform, deployment, release
from tests.platforms.world import World, container_app, simulate

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class SandboxClock:
    """The sandbox's own time, which its backups have."""

    world: World

    def now(self) -> datetime:
        now: datetime = self.world.cloud.clock.now()
        return now

    def boottime(self) -> float:
        return anyio.current_time()


@dataclass
class Environment:
    """A world with a ledger and leases in memory, and what was told."""

    world: World
    adapters: Adapters
    told: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Any:
        return self.adapters.ledger

    def app(self, name: str = "odb-staging") -> Any:
        return self.world.cloud.vendors["heroku"].find(self.world.cloud, name)

    def content(self, name: str = "odb-staging") -> str:
        kept = self.world.cloud.store.table("modelled.databases").get(name)
        return str(kept["content"]) if kept else ""

    def write(self, text: str, name: str = "odb-staging") -> None:
        self.world.cloud.store.table("modelled.databases").put(name, {"content": text})

    def transfer(self, number: int, **changes: Any) -> None:
        table = self.world.cloud.store.table("heroku.transfers")
        key = f"odb-staging/{number}"
        table.put(key, {**(table.get(key) or {}), **changes})

    async def capture(self) -> Backup:
        (captured,) = await capture_backups(
            self.world.project, self.adapters, "staging", ["ODB"], lambda *_: None
        )
        assert captured.backup is not None, captured.error
        return captured.backup

    async def list(self) -> list[str]:
        listed = await list_backups(self.world.project, self.adapters, "staging")
        return [one.backup.id for one in listed]

    async def restore(self, backup: str = "b001", stop: StopRequest | None = None) -> Sequence[Restored]:
        kept = await find_backup(self.world.project, self.adapters, "staging", "ODB", backup)
        return await restore_databases(
            self.world.project, self.adapters, "staging", [kept], 0.0,
            emit=lambda _: None, stop=stop or StopRequest(), tell=lambda app, text: self.told.append(text),
        )  # fmt: skip


def in_staging(story: Callable[[Environment], Awaitable[None]], *apps: App, **settings: Any) -> None:
    async def begin(world: World) -> None:
        world.disturbed = True  # what is not published of Heroku's data API is checked by its own tests
        adapters = replace(
            world.adapters, ledger=Memory(SandboxClock(world)), leases=MemoryLeases(FakeClock())
        )
        await story(Environment(world, adapters))

    simulate(begin, *apps, **settings)


def test_all_databases_are_backed_up_at_once() -> None:
    async def story(here: Environment) -> None:
        began = anyio.current_time()
        captured = await capture_backups(here.world.project, here.adapters, "staging", (), lambda *_: None)
        assert [(one.used.apps, one.backup and one.backup.id) for one in captured] == [
            (("SSO",), "b001"),
            (("ODB",), "b001"),
        ]
        assert anyio.current_time() - began < 12.0

    in_staging(story, container_app("SSO"), container_app("ODB"), backup_s=10.0)


def test_database_that_two_apps_share_is_backed_up_once() -> None:
    async def story(here: Environment) -> None:
        captured = await capture_backups(here.world.project, here.adapters, "staging", (), lambda *_: None)
        assert [one.used.apps for one in captured] == [("ODB", "RESOURCE")]
        assert await here.list() == ["b001"]

    shared = container_app("ODB")
    other = replace(
        container_app("RESOURCE"),
        targets={e: replace(t, app="RESOURCE") for e, t in shared.targets.items()},
    )
    in_staging(story, shared, other)


def test_backup_that_fails_does_not_stop_the_others() -> None:
    async def story(here: Environment) -> None:
        app = here.app("sso-staging")
        here.world.cloud.store.table("heroku.apps").put("sso-staging", app | {"fail_backups": True})
        failed, taken = await capture_backups(
            here.world.project, here.adapters, "staging", (), lambda *_: None
        )
        assert failed.error is not None
        assert taken.backup is not None

    in_staging(story, container_app("SSO"), container_app("ODB"))


def test_restore_takes_a_fresh_backup_in_maintenance_mode_and_waits() -> None:
    async def story(here: Environment) -> None:
        here.write("as it was")
        await here.capture()
        here.write("as it became")
        began = anyio.current_time()
        (restored,) = await here.restore()
        assert (restored.kept.backup.id, restored.fresh.id) == ("b001", "b002")
        assert here.content() == "as it was"
        assert anyio.current_time() - began >= 20.0
        assert not here.app()["maintenance"]
        assert here.told[0] == "in maintenance mode"
        assert here.told[-1] == "out of maintenance mode"
        log = [r for r in here.world.requests() if r[0] in {"PATCH", "POST"} and "resolve" not in r[1]]
        assert [r[1].rpartition("/")[2] for r in log[-4:]] == [
            "odb-staging",
            "backups",
            "restores",
            "odb-staging",
        ]
        assert await here.adapters.leases.holding("staging") is None

    in_staging(story, backup_s=10.0)


@pytest.mark.parametrize("path", [r"/backups$", r"/restores$", r"/transfers/[0-9a-f-]{36}$"])
def test_maintenance_ends_whatever_happens(path: str) -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        kept = await find_backup(here.world.project, here.adapters, "staging", "ODB", "b001")
        here.world.fault(
            vendor="heroku_data", path=path, action="status", status=403, body={"id": "forbidden"}
        )
        with pytest.raises(LiftlockError):
            await here.restore(kept.backup.id)
        assert not here.app()["maintenance"]
        assert await here.adapters.leases.holding("staging") is None

    in_staging(story, backup_s=10.0)


def test_maintenance_ends_when_it_is_cancelled() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        with anyio.move_on_after(5.0) as scope:
            await here.restore()
        assert scope.cancelled_caught
        assert not here.app()["maintenance"]

    in_staging(story, backup_s=10.0)


def test_maintenance_that_was_on_before_stays_on() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        here.app()["maintenance"] = True
        await here.restore()
        assert here.app()["maintenance"]

    in_staging(story)


def test_maintenance_that_cannot_be_ended_needs_a_person() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        here.world.fault(
            vendor="heroku", method="PATCH", path="/apps/odb-staging$", skip=1, action="status", status=403,
            body={"id": "forbidden", "message": "no"},
        )  # fmt: skip
        with pytest.raises(NeedsPerson, match="Maintenance mode in staging could not be ended for ODB") as e:
            await here.restore()
        assert "heroku maintenance:off" in e.value.hint

    in_staging(story)


def test_failed_restore_needs_a_person_and_names_what_stood_before() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        here.write("as it became")
        kept = await find_backup(here.world.project, here.adapters, "staging", "ODB")
        table = here.world.cloud.store.table("modelled.dumps")

        async def lose() -> None:
            while not any("is restored" in text for text in here.told):  # noqa: ASYNC110  it tells nobody
                await anyio.sleep(0.1)
            await anyio.sleep(1.0)
            for key, _ in list(table.items()):
                table.delete(key)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose)
            with pytest.raises(NeedsPerson, match=r"nobody knows what it holds now: .*r003") as caught:
                await here.restore(kept.backup.id)
        assert "What stood before is backup b002" in caught.value.hint

    in_staging(story, backup_s=10.0)


@pytest.mark.parametrize("action", ["lost", "reset"])
def test_lost_answer_to_a_restore_is_resolved_by_the_list(action: str) -> None:
    async def story(here: Environment) -> None:
        here.write("as it was")
        await here.capture()
        here.write("as it became")
        here.world.fault(vendor="heroku_data", method="POST", path="/restores$", action=action, times=1)
        await here.restore()
        assert here.content() == "as it was"
        names = [t["to_type"] for _, t in here.world.cloud.store.table("heroku.transfers").items()]
        assert names.count("pg_restore") == 1

    in_staging(story, backup_s=10.0)


@pytest.mark.promise("P3")
def test_restore_needs_the_environments_lease() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        await here.adapters.leases.take("staging", "promotion from dev")
        with pytest.raises(Busy, match="promotion from dev"):
            await here.restore()
        assert here.told == []

    in_staging(story)


def test_restore_is_refused_while_a_promotion_stands_open() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        await open_intent(here, "open")
        with pytest.raises(Busy, match="stands open in staging"):
            await here.restore()
        assert here.told == []

    in_staging(story)


@dataclass
class SlowClock(SandboxClock):
    """Fifteen minutes behind."""

    def now(self) -> datetime:
        return super().now() - timedelta(minutes=15)


@pytest.mark.promise("P2")
def test_restore_backs_up_what_stands_although_one_of_a_moment_ago_seems_new() -> None:
    """As a rollback's own one is, from before its release, on a machine whose clock is behind."""

    async def story(here: Environment) -> None:
        here.adapters = replace(here.adapters, clock=SlowClock(here.world))
        here.write("before")
        await here.capture()
        await anyio.sleep(60.0)
        await here.capture()
        here.write("what stands")
        (restored,) = await here.restore("b001")
        assert restored.fresh.id == "b003"
        assert here.content() == "before"
        await here.restore("b003")
        assert here.content() == "what stands"

    in_staging(story)


@pytest.mark.promise("P2")
def test_capture_by_hand_takes_a_new_one_whatever_the_clock_says() -> None:
    async def story(here: Environment) -> None:
        here.adapters = replace(here.adapters, clock=SlowClock(here.world))
        taken = [await here.capture() for _ in range(2)]
        assert [one.id for one in taken] == ["b001", "b002"]

    in_staging(story)


def test_restore_that_was_asked_to_stop_begins_nothing() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        stop = StopRequest()
        stop.ask("interrupted by SIGINT")
        with pytest.raises(LiftlockError, match="interrupted by SIGINT"):
            await here.restore(stop=stop)
        assert not here.app()["maintenance"]

    in_staging(story)


@pytest.mark.parametrize("name", ["deleted_at", "purged_at"])
def test_backup_that_is_gone_is_refused_in_exact_words(name: str) -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        here.transfer(1, **{name: "2026-11-21T08:00:00Z"})
        with pytest.raises(
            LiftlockError,
            match=r"Backup b001 of the database of ODB in staging, .* is gone since 2026-11-21 08:00",
        ):
            await here.restore()
        assert await here.list() == []

    in_staging(story)


def test_prune_keeps_the_newest_and_what_is_named() -> None:
    async def story(here: Environment) -> None:
        taken = []
        for _ in range(6):
            taken.append(await here.capture())
            await anyio.sleep(60.0)
        here.ledger.put(replace(deployment("ODB", "staging", release("ODB", "a")), backups=(taken[0],)))
        journal = [{"promotion": "x", "backups": [{"database": taken[1].database, "id": taken[1].id}]}]
        planned = await plan_prune(here.world.project, here.adapters, "staging", 2, journal)
        assert [one.backup.id for one in planned.delete] == ["b004", "b003"]
        assert [one.backup.id for one in planned.named] == ["b002", "b001"]
        await prune(planned)
        await prune(planned)
        assert await here.list() == ["b006", "b005", "b002", "b001"]
        with pytest.raises(UsageError, match="never deleted"):
            await plan_prune(here.world.project, here.adapters, "staging", 0)

    in_staging(story)


async def open_intent(here: Environment, key: str) -> Intent:
    intent: Intent = await here.ledger.open_intent(
        NewIntent(key, Kind.PROMOTION, "staging", "dev", "0" * 64, {}, {}, {})
    )
    return intent


def rollback_of(intent: str) -> Plan:
    planned = AppPlan("ODB", Action.RELEASE, "", release=Release("ODB", "a" * 40, {}))
    given: dict[str, Any] = dict.fromkeys(("steps", "databases", "verdicts", "notes"), ())
    return Plan(
        kind=Kind.ROLLBACK, project="observatory", environment="staging", source="", apps={"ODB": planned},
        config_digest="", digest="", observed_at=START, reverts=intent, **given,
    )  # fmt: skip


async def promoted(here: Environment, *backups: Backup) -> Intent:
    intent = await open_intent(here, "last")
    await here.ledger.close_intent(intent, State.SUCCESS, "")
    record: Deployment = replace(
        deployment("ODB", "staging", release("ODB", "b"), 5), promotion=intent.id, backups=backups
    )
    here.ledger.put(record)
    return intent


async def chosen(here: Environment, intent: str) -> list[str]:
    found: list[Kept] = await backups_before(here.world.project, here.adapters, rollback_of(intent))
    return [one.backup.id for one in found]


def test_rollback_restores_what_the_promotion_backed_up() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        await anyio.sleep(60.0)
        own = await here.capture()
        intent = await promoted(here, own)
        await anyio.sleep(60.0)
        await here.capture()
        assert await chosen(here, intent.id) == [own.id] == ["b002"]

    in_staging(story)


def test_rollback_without_that_takes_the_newest_from_before() -> None:
    async def story(here: Environment) -> None:
        await here.capture()
        await anyio.sleep(60.0)
        intent = await promoted(here)
        await anyio.sleep(60.0)
        await here.capture()
        assert await chosen(here, intent.id) == ["b001"]

    in_staging(story)


def test_rollback_is_refused_when_there_was_no_backup_before() -> None:
    async def story(here: Environment) -> None:
        intent = await promoted(here)
        await anyio.sleep(60.0)
        await here.capture()
        with pytest.raises(LiftlockError, match=r"There is no backup of .* from before promotion"):
            await chosen(here, intent.id)

    in_staging(story)


def test_rollback_is_refused_when_its_backup_is_gone() -> None:
    async def story(here: Environment) -> None:
        own = await here.capture()
        intent = await promoted(here, own)
        here.transfer(1, purged_at="2026-11-21T08:00:00Z")
        with pytest.raises(LiftlockError, match=r"is gone since .* It is the one from before promotion") as e:
            await chosen(here, intent.id)
        assert e.value.hint.startswith("Nothing was changed.")
        here.world.cloud.store.table("heroku.transfers").delete("odb-staging/1")
        with pytest.raises(LiftlockError, match="took before it released, is no longer listed"):
            await chosen(here, intent.id)
        with pytest.raises(UsageError, match="takes back no promotion"):
            await chosen(here, "")

    in_staging(story)


@pytest.mark.parametrize(
    ("size", "earlier", "words"),
    [
        (10, (), ""),
        (500, (1000,), ""),
        (499, (1000,), "it has 499 B, and the last one has 1.0 kB"),
        (499, (1000, 1000, 10, 1200, 900, 5, 5, 5), "it has 499 B, and the last 5 have 1.0 kB"),
        (499, (10, 10, 10, 1000, 1000, 1000), ""),
    ],
)
def test_size_is_compared_with_the_median_of_the_last_five(
    size: int, earlier: tuple[int, ...], words: str
) -> None:
    backup = Backup("b9", "d", "ODB", "fake", size, START, START, earlier_bytes=earlier)
    assert collapse(backup) == words


def test_sizes_before_come_with_a_capture_and_cost_no_request() -> None:
    async def story(here: Environment) -> None:
        first = await here.capture()
        await anyio.sleep(60.0)
        before = len(here.world.requests())
        second = await here.capture()
        looks = [r for r in here.world.requests()[before:] if r[1].endswith("/transfers")]
        assert len(looks) == 1
        assert first.earlier_bytes == ()
        assert second.earlier_bytes == (first.size_bytes,)

    in_staging(story)


@dataclass
class Collapsed(FakeDatabases):
    """Backups that are a fifth of what they used to be."""

    async def capture(
        self, database: Database, not_before: datetime | None, progress: Progress, promotion: str = ""
    ) -> Backup:
        taken = await super().capture(database, not_before, progress, promotion)
        return replace(taken, earlier_bytes=(5000, 5200, 4800))


async def promotion_with_collapsed_backup(**overrides: str) -> tuple[FakePlatform, Result]:
    world = Promotions()
    databases = {"fake": Collapsed(world.platform)}
    adapters = replace(world.adapters, databases=databases)
    plan = await plan_promotion(world.project, adapters, "dev", "staging", ["SSO"])
    run = Run(
        world.project, plan, adapters, key="k", lease=world.lease, emit=lambda _: None, stop=StopRequest(),
        overrides={name.replace("_", "-"): reason for name, reason in overrides.items()},
    )  # fmt: skip
    return world.platform, await run.run()


@pytest.mark.anyio
@pytest.mark.promise("P2")
async def test_promotion_stops_at_a_backup_whose_size_collapsed() -> None:
    platform, result = await promotion_with_collapsed_backup()
    assert result.ending is Ending.FAILED
    assert isinstance(result.cause, BackupFailed)
    assert "it has 1.0 kB, and the last 3 have 5.0 kB" in result.cause.message
    assert "--override backup-size --reason TEXT" in result.cause.hint
    assert ("release", "SSO") not in platform.log


@pytest.mark.anyio
async def test_promotion_goes_on_with_a_reason_that_is_recorded() -> None:
    platform, result = await promotion_with_collapsed_backup(backup_size="the archive was moved")
    assert result.ending is Ending.SUCCEEDED
    assert ("release done", "SSO") in platform.log
    assert result.intent is not None
    assert result.intent.overrides == {"backup-size": "the archive was moved"}
