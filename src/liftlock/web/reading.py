"""What pages and API read, all of it through `commands`: one observation serves every reader.

Nobody waits for a slow vendor: what is known is given at once, with when it was seen and what keeps
it from being newer, and a look that goes on behind it tells `Changes` when it found something else.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.abc
import anyio.to_thread

from liftlock.commands.backups import Kept, list_backups
from liftlock.commands.diff import compare
from liftlock.commands.history import Account, Found, Wanted, account_of, read_history
from liftlock.commands.lease import show_lease
from liftlock.commands.promote import Conditions, plan_promotion
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.status import Status, look_at
from liftlock.errors import LiftlockError, ungrouped
from liftlock.model import EMPTY, Deployment, Holding, Project
from liftlock.planning.comparison import Comparison
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.web.following import Sightings, followed
from liftlock.web.gathering import Gathered, Gathering
from liftlock.web.live import PROJECT, Changes
from liftlock.web.numbers import Report, report
from liftlock.web.timeline import Timeline
from liftlock.wiring import is_on_loopback

FRESH_S = 20.0
"""How old, in seconds, what is shown may be before it is looked at again."""
PLAN_FRESH_S = 10.0
WAIT_S = 1.5
"""How long a reader waits for what nobody has seen yet; then the page says that it is being looked at."""
TARGET_S = 4.0
"""For how many seconds longer the board is fresh for each target that is elsewhere: a look at one costs some two
requests, and Heroku takes 4,500 an hour. So whoever only watches uses less than half of them."""
FOLLOW_S, FOLLOW_TARGET_S = 1.0, 0.5
"""How old what is seen of a promotion elsewhere may be that somebody watches: at least, and for each target."""
EVER = float("-inf")
MOST = 256
"""How many observations are kept; the one that was wanted longest ago goes first."""
MOST_LOOKS, MOST_LONG_LOOKS = 16, 2
"""How many looks go on at once, and how many of those that may read far back in the ledger: whoever asks for
every page of the history must not keep the others from the board."""
REPORTED = timedelta(minutes=15)
"""How long the numbers of the last days stand where nothing is new: they only lose their oldest hour."""

T = TypeVar("T")
_LOG = logging.getLogger("liftlock.web")


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """What is known of something, since when, and why not more."""

    value: T | None
    at: datetime | None
    """When it was seen."""
    trouble: LiftlockError | None
    """Why the newest look told nothing; None where it did."""
    is_looking: bool

    @property
    def is_first_look(self) -> bool:
        """Whether nothing can be said yet, neither good nor bad."""
        return self.value is None and self.trouble is None


class Observed(Generic[T]):
    """One thing that is looked at for everybody who wants to know it."""

    def __init__(
        self,
        look: Callable[[], Awaitable[T]],
        now: Callable[[], datetime],
        tasks: anyio.abc.TaskGroup,
        changed: Callable[[], None],
        fresh_s: float,
        turns: anyio.CapacityLimiter,
    ) -> None:
        self._look = look
        self._turns = turns
        self._now = now
        self._tasks = tasks
        self._changed = changed
        self._fresh_s = fresh_s
        self._value: T | None = None
        self._at: datetime | None = None
        self._trouble: LiftlockError | None = None
        self._began_at = self._looked_at = EVER
        self._is_looking = False
        self._is_outdated = False
        self._seen = anyio.Event()

    async def view(
        self, wait_s: float = WAIT_S, fresh_s: float | None = None, *, since: float = EVER
    ) -> View[T]:
        """What is known; waits, and not for long, where that is nothing or surely old.

        Whatever was begun to be looked at before `since` (of the event loop's clock) is looked at again.
        """
        fresh_s = self._fresh_s if fresh_s is None else fresh_s
        is_old = self._is_outdated or self._began_at < since
        if is_old or anyio.current_time() - self._looked_at > fresh_s:
            must_wait = is_old or self._at is None
            self.look()
            if must_wait:
                with anyio.move_on_after(wait_s):
                    await self._seen.wait()
        is_looking = self._is_looking or self._began_at < since
        return View(self._value, self._at, self._trouble, is_looking)

    def outdate(self) -> None:
        """Something changed: what was seen before is not worth showing where a look is quick."""
        self._is_outdated = True

    def look(self) -> None:
        """Look again, unless somebody is looking already."""
        if self._is_looking:
            return
        self._is_looking, self._is_outdated = True, False
        self._began_at = anyio.current_time()
        self._seen = anyio.Event()
        self._tasks.start_soon(self._looking)

    async def _looking(self) -> None:
        before, trouble = self._value, self._trouble
        try:
            with ungrouped():
                async with self._turns:
                    found = await self._look()
            if found != self._value:  # as long as it is the very same one, nothing has to be drawn again
                self._value = found
            self._at, self._trouble = self._now(), None
        except LiftlockError as error:
            self._trouble = error
        except Exception as error:  # noqa: BLE001 - a task's edge: a defect is told like any trouble, and the page stands
            _LOG.exception("a look failed")
            self._trouble = LiftlockError(
                f"liftlock itself failed: {type(error).__name__}.",
                hint="That is a defect: please report it, with the server's log.",
            )
        finally:
            self._looked_at = anyio.current_time()
            self._is_looking = False
            self._seen.set()
        if self._value is not before or str(self._trouble) != str(trouble):
            self._changed()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of the history somebody wants to see."""

    environment: str = ""
    app: str = ""
    by: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50

    @property
    def is_filtered(self) -> bool:
        return bool(self.environment or self.app or self.by or self.since or self.until)


@dataclass(frozen=True, slots=True)
class PlanAsked:
    """Which plan somebody wants to see: a promotion from `source`, or a rollback without."""

    environment: str
    source: str = ""
    apps: tuple[str, ...] = ()
    to: str = ""
    accept_drift: bool = False
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    account: str = ""
    """Who would have it run: one's own approval never counts."""

    @property
    def key(self) -> Hashable:
        return (
            self.environment,
            self.source,
            self.apps,
            self.to,
            self.accept_drift,
            tuple(sorted(self.overrides.items())),
            self.account,
        )


@dataclass(frozen=True, slots=True)
class Followed:
    """A promotion that runs elsewhere."""

    timeline: Timeline
    holding: Holding | None
    """Who holds its environment; None for nobody: then it was interrupted."""


class Reading:
    """A project, as its pages and its API see it."""

    def __init__(
        self, project: Project, adapters: Adapters, tasks: anyio.abc.TaskGroup, changes: Changes
    ) -> None:
        self.project = project
        self.adapters = adapters
        self._tasks = tasks
        self._changes = changes
        self._kept: OrderedDict[Hashable, Observed[Any]] = OrderedDict()
        targets = sum(len(app.targets) for app in project.apps.values())
        self.board_fresh_s = FRESH_S if is_on_loopback(project) else max(FRESH_S, TARGET_S * targets)
        """How old the board may be before it is looked at again. What changes through us, or is told to us, does not
        wait for it."""
        self._seen: OrderedDict[str, Sightings] = OrderedDict()
        self._gathering = Gathering(project, adapters, self.now)
        self._reports: dict[int, tuple[Gathered, Report]] = {}
        """By days, what their numbers were made of, and they."""
        self._turns = anyio.CapacityLimiter(MOST_LOOKS)
        self._long_turns = anyio.CapacityLimiter(MOST_LONG_LOOKS)
        self.since = EVER
        """Nothing that was begun to be looked at before then is shown; of the event loop's clock, in seconds."""

    def anew(self) -> Reading:
        """The same, showing only what is looked at from now on: for whoever acts on what they see."""
        fresh = copy(self)
        fresh.since = anyio.current_time()
        return fresh

    def now(self) -> datetime:
        return self.adapters.clock.now()

    async def board(self) -> View[Status]:
        """Every app in every environment."""
        return await self._board.view(since=self.since)

    async def history(self, asked: Asked) -> View[Found]:
        """The entries that fit, newest first."""
        wanted = Wanted(asked.app, asked.by, asked.since, asked.until)
        look = partial(
            read_history, self.project, self.adapters, asked.environment or None, asked.limit, wanted
        )
        return await self._observed(("history", asked), look, is_long=True).view(since=self.since)

    async def numbers(self, days: int) -> View[Report]:
        """The four numbers of the last so many days, of every environment and app."""
        return await self._observed(
            ("numbers", days), partial(self._numbers, days), fresh_s=60.0, is_long=True
        ).view(since=self.since)

    async def _numbers(self, days: int) -> Report:
        # A change that began before may have ended within these days.
        found = await self._gathering.within(days + 1)
        until = self.now()
        known = self._reports.get(days)
        if known is not None and known[0] is found and until - known[1].until < REPORTED:
            return known[1]
        make = partial(
            report,
            found.changes,
            list(self.project.environments),
            list(self.project.apps),
            until,
            days,
            is_cut=found.is_cut,
        )
        told = await anyio.to_thread.run_sync(make)  # it takes a moment, and others ask for pages
        self._reports[days] = found, told
        return told

    async def account(self, id_: str) -> View[Account | Deployment]:
        """One promotion, rollback or deploy, or another tool's record."""
        return await self._account(id_).view(since=self.since)

    def _account(self, id_: str) -> Observed[Account | Deployment]:
        return self._observed(("account", id_), partial(account_of, self.project, self.adapters, id_))

    async def followed(self, account: Account) -> Followed:
        """How a promotion stands that runs elsewhere. As long as somebody holds its environment, it is looked at often."""
        environment = account.intent.environment
        lease = await self.lease(environment)
        holding = lease.value[0] if lease.value is not None else None
        fresh_s = FRESH_S if holding is None else self._follow_s(environment)
        look = partial(look_at, self.project, self.adapters, [environment])
        view = await self._observed(("environment", environment), look).view(fresh_s=fresh_s)
        if holding is not None:
            await self._account(account.intent.id).view(0.0, fresh_s)
        cells = view.value.cells.values() if view.value is not None else ()
        running = {cell.app: cell.running for cell in cells}
        timeline = followed(
            self.project, account, running, self.now(), self._sightings(account), is_held=holding is not None
        )
        return Followed(timeline, holding)

    def _follow_s(self, environment: str) -> float:
        """How old what is seen of a promotion may be: a promotion takes minutes, so these looks are few."""
        targets = sum(environment in app.targets for app in self.project.apps.values())
        return FOLLOW_S if is_on_loopback(self.project) else max(FOLLOW_S, FOLLOW_TARGET_S * targets)

    def _sightings(self, account: Account) -> Sightings:
        seen = self._seen.setdefault(account.intent.id, Sightings())
        self._seen.move_to_end(account.intent.id)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return seen

    async def plan(self, asked: PlanAsked) -> View[Plan]:
        """What a promotion or a rollback would do now; seen by all alike where no approvals are asked for."""
        is_personal = (
            self.project.serve.has_sign_in and self.project.environments[asked.environment].gates.approvals
        )
        asked = asked if is_personal else replace(asked, account="")
        adapters = replace(self.adapters, acting_for=asked.account)
        conditions = Conditions(asked.accept_drift, asked.overrides)

        async def look() -> Plan:
            if asked.source:
                return await plan_promotion(
                    self.project, adapters, asked.source, asked.environment, asked.apps, conditions
                )
            return await plan_rollback(
                self.project,
                adapters,
                asked.environment,
                to=asked.to,
                apps=asked.apps,
                conditions=conditions,
            )

        return await self._observed(("plan", asked.key), look, fresh_s=PLAN_FRESH_S).view(
            wait_s=4 * WAIT_S, since=self.since
        )

    async def comparison(self, source: str, target: str) -> View[Comparison]:
        """What lies between two environments, app by app."""
        look = partial(compare, self.project, self.adapters, source, target)
        return await self._observed(("diff", source, target), look).view(since=self.since)

    async def backups(self, environment: str) -> View[list[Kept]]:
        """The backups of an environment's databases, newest first."""
        look = partial(list_backups, self.project, self.adapters, environment, gone=True)
        return await self._observed(("backups", environment), look).view(since=self.since)

    async def lease(self, environment: str) -> View[tuple[Holding | None]]:
        """Who holds an environment. In a tuple, so that "nobody" is not "not seen yet"."""

        async def look() -> tuple[Holding | None]:
            return (await show_lease(self.project, self.adapters, environment),)

        return await self._observed(("lease", environment), look, fresh_s=5.0).view(since=self.since)

    def outdate(self) -> None:
        """Something changed at the vendors or in the ledger: look at all of it again when it is wanted."""
        for observed in self._kept.values():
            observed.outdate()
        if self._changes.watchers[PROJECT] > 0:
            self._board.look()
        self._changes.tell(PROJECT)

    async def watch(self) -> None:
        """Look at the board now and then, as long as somebody has a page open. Never returns."""
        while True:
            await anyio.sleep(self.board_fresh_s)
            if self._changes.watchers[PROJECT] > 0:
                self._board.look()

    @property
    def _board(self) -> Observed[Status]:
        environments = list(self.project.environments)
        look = partial(look_at, self.project, self.adapters, environments)
        return self._observed("board", look, self.board_fresh_s)

    def _observed(
        self,
        key: Hashable,
        look: Callable[[], Awaitable[T]],
        fresh_s: float = FRESH_S,
        *,
        is_long: bool = False,
    ) -> Observed[T]:
        if key not in self._kept:
            changed = partial(self._changes.tell, PROJECT)
            turns = self._long_turns if is_long else self._turns
            self._kept[key] = Observed(look, self.now, self._tasks, changed, fresh_s, turns)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return cast("Observed[T]", self._kept[key])
