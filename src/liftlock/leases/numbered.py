"""The rules of leases, whoever keeps them: numbered records, of which the highest one counts.

Taking is the creation of the next number, which a keeper grants to one taker alone; the number is
the fencing token. Only its holder changes what a number says. Then it looks for a higher one: there
it has lost. Older numbers are removed, the newest never, so that no number is given out twice.

Three things keep a slow or suspended process from doing harm:

- The holder counts its time from before the request that renewed it, others from the keeper's own
  record of it, and `MARGIN_S` longer.
- A holder whose time is over does not renew: it takes the next number, which somebody else may
  have taken before it.
- Numbers just below the newest are kept: a taker that looked before they were passed collides
  with them. One that looked longer ago than `FRESH_S` looks again after its creation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

import anyio

from liftlock.errors import LeaseLost, LiftlockError
from liftlock.leases.record import (
    FREE,
    Record,
    Standing,
    Written,
    busy,
    checked_entry,
    contended,
    lost,
)
from liftlock.model import Holding
from liftlock.ports import Lease
from liftlock.tasks import together

TTL_S = 600.0
"""How long a lease lasts without a renewal."""
FRESH_S = 10.0
"""How old a look may be for a creation to rest on it alone."""
KEPT = 16
"""How many numbers below the newest are kept. More leases than that do not come and go in `FRESH_S`."""
ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at an environment's numbers found."""

    now: datetime
    """The keeper's time when it answered."""
    handles: Mapping[int, str]
    """What each number points at."""

    @property
    def highest(self) -> int:
        """The highest number; 0 when there is none."""
        return max(self.handles, default=0)

    @property
    def outdated(self) -> Sequence[int]:
        """The numbers that nobody can collide with any more."""
        return [number for number in self.handles if number < self.highest - KEPT]


class Keeper(Protocol):
    """Keeps numbers: GitHub, a file, memory. All but `create` is safe to repeat."""

    async def look(self, environment: str) -> Look:
        """All numbers of an environment."""
        ...

    async def read(self, environment: str, number: int, handle: str) -> Written:
        """What a handle that `look` found stands for."""
        ...

    async def write(self, record: Record) -> Written:
        """Write a record that no number points at yet."""
        ...

    async def create(self, environment: str, number: int, written: Written) -> bool:
        """Create a number. False when there is one already, made by somebody else."""
        ...

    async def move(self, environment: str, number: int, written: Written) -> bool:
        """Point our number at another record. False when there is no such number any more."""
        ...

    async def free(self, environment: str, number: int) -> None:
        """Point our number at the record that says that it is free. One that is gone is no error."""
        ...

    async def remove(self, environment: str, number: int) -> None:
        """Remove an old number."""
        ...


class NumberedLeases:
    """`ports.Leases` over a keeper of numbers."""

    def __init__(
        self,
        keeper: Keeper,
        boottime: Callable[[], float],
        *,
        ttl_s: float = TTL_S,
        nonce: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """`boottime` counts seconds, those of suspend too."""
        self._keeper = keeper
        self._boottime = boottime
        self._ttl_s = ttl_s
        self._nonce = nonce

    async def take(self, environment: str, purpose: str) -> Lease:
        record = Record(Standing.HELD, purpose, self._ttl_s, nonce=self._nonce())
        for _ in range(ROUNDS):
            sent = self._boottime()
            look, written = await together(
                partial(self._keeper.look, environment), partial(self._keeper.write, record)
            )
            looked = sent
            newest = await _newest(self._keeper, environment, look)
            if newest is not None and newest.is_held(look.now):
                raise busy(newest.holding(environment, look.highest))
            left_for_s = newest.left_for_s(look.now) if newest is not None else None
            if newest is not None and newest.record.journal:
                sent = self._boottime()
                written = await self._keeper.write(replace(record, journal=newest.record.journal))
            number = look.highest + 1
            seen = self._boottime()
            if not await self._keeper.create(environment, number, written):
                continue
            if self._boottime() - looked > FRESH_S:
                seen = self._boottime()
                again = await self._keeper.look(environment)
                if again.highest != number:
                    continue  # ours is an old one, and says nothing to anybody
            return HeldLease(
                self._keeper,
                self._boottime,
                environment,
                number,
                written,
                sent + self._ttl_s,
                seen,
                look.outdated,
                None if left_for_s is None else looked - left_for_s,
            )
        raise contended(environment)

    async def holding(self, environment: str) -> Holding | None:
        look = await self._keeper.look(environment)
        newest = await _newest(self._keeper, environment, look)
        if newest is None or not newest.is_held(look.now):
            return None
        return newest.holding(environment, look.highest)

    async def journal(self, environment: str) -> Sequence[Mapping[str, Any]]:
        newest = await _newest(self._keeper, environment, await self._keeper.look(environment))
        return newest.record.journal if newest is not None else ()

    async def break_(self, environment: str, reason: str) -> Holding:
        for _ in range(ROUNDS):
            looked = self._boottime()
            look = await self._keeper.look(environment)
            newest = await _newest(self._keeper, environment, look)
            if newest is None or not newest.is_held(look.now):
                raise LiftlockError(
                    f"Nobody holds {environment}: there is nothing to break.",
                    hint="A promotion that was killed is continued with: liftlock resume " + environment,
                )
            broken = Record(
                Standing.BROKEN,
                newest.record.purpose,
                journal=newest.record.journal,
                reason=reason,
                nonce=self._nonce(),
            )
            number = look.highest + 1
            if not await self._keeper.create(environment, number, await self._keeper.write(broken)):
                continue
            if self._boottime() - looked > FRESH_S:
                again = await self._keeper.look(environment)
                if again.highest != number:
                    continue
            return replace(newest.holding(environment, look.highest), broken=reason)
        raise contended(environment)


class HeldLease:
    """`ports.Lease`: a number of ours."""

    def __init__(
        self,
        keeper: Keeper,
        boottime: Callable[[], float],
        environment: str,
        number: int,
        written: Written,
        ends: float,
        seen: float,
        outdated: Sequence[int],
        left_at: float | None,
    ) -> None:
        """`ends`, `seen` and `left_at` by `boottime`: until when it lasts, when it was seen to be ours,
        and since when it had been nobody's, where its last holder did not give it back."""
        self._keeper = keeper
        self._boottime = boottime
        self._environment = environment
        self._number = number
        self._written = written
        self._since = written.at
        self._ends = ends
        self._seen = seen
        self._outdated = outdated
        self._left_at = left_at
        self._over: LeaseLost | None = None
        self._freed = False
        self._turn = anyio.Lock()  # a renewal goes on beside what the run journals

    @property
    def holding(self) -> Holding:
        return self._written.holding(self._environment, self._number)

    @property
    def journal(self) -> Sequence[Mapping[str, Any]]:
        return self._written.record.journal

    def lasts_s(self) -> float:
        if self._over is not None:
            return 0.0
        return max(self._ends - self._boottime(), 0.0)

    def seen_s(self) -> float:
        return max(self._boottime() - self._seen, 0.0)

    def vacant_s(self) -> float | None:
        return None if self._left_at is None else self._boottime() - self._left_at

    async def look(self) -> None:
        async with self._turn:
            self._refuse_if_over()
            sent = self._boottime()
            look = await self._keeper.look(self._environment)
            if look.highest > self._number:
                raise await self._loss(look)
            if look.highest < self._number:  # removed, or listed late: whether it is there, moving it tells
                await self._renew(self._written.record.journal)
            self._seen = sent

    async def renew(self) -> None:
        async with self._turn:
            await self._renew(self._written.record.journal)

    async def write(self, entry: Mapping[str, Any]) -> None:
        entry = checked_entry(entry)
        async with self._turn:
            await self._renew((*self._written.record.journal, entry))

    async def free(self, *, hand_on: bool = False) -> None:
        async with self._turn:
            if self._freed or self._over is not None:
                return
            self._ends = -float("inf")
            async with anyio.create_task_group() as tasks:
                for number in self._outdated:
                    tasks.start_soon(_remove, self._keeper, self._environment, number)
                failure = await self._let_go(hand_on=hand_on)
            if failure is not None:
                raise failure
            self._freed = True

    async def _let_go(self, *, hand_on: bool) -> LiftlockError | None:
        journal = self._written.record.journal
        try:
            if hand_on and journal and self._left_at is not None:
                written = await self._keeper.write(replace(FREE, journal=journal))
                await self._keeper.move(self._environment, self._number, written)
            else:
                await self._keeper.free(self._environment, self._number)
        except LiftlockError as error:
            return error  # a task group would wrap it
        return None

    def _refuse_if_over(self) -> None:
        if self._freed or self._ends == -float("inf"):
            raise LeaseLost(f"The lease on {self._environment} was given back.")
        if self._over is not None:
            raise self._over

    async def _renew(self, journal: tuple[Mapping[str, Any], ...]) -> None:
        """Say anew that it is ours, with this journal, and look whether it still is."""
        self._refuse_if_over()
        record = replace(self._written.record, journal=journal, since=self._since)
        if not self.lasts_s():
            await self._take_again(record)
            return
        sent = self._boottime()
        written = await self._keeper.write(record)
        # Cancelled half-way, it might be applied after the lease was given back, and hold it again.
        # The look goes beside it: a number that is taken in between is found by the next one.
        with anyio.CancelScope(shield=True):
            moved, look = await together(
                partial(self._keeper.move, self._environment, self._number, written),
                partial(self._keeper.look, self._environment),
            )
        if not moved or look.highest > self._number:
            raise await self._loss(look)
        if not self.lasts_s():  # it took so long that somebody may have judged it as run out
            await self._take_again(record)
            return
        self._written, self._ends, self._seen = written, sent + record.ttl_s, sent
        self._outdated = look.outdated

    async def _take_again(self, record: Record) -> None:
        """Take the next number after our time was over, unless somebody else has."""
        sent = self._boottime()
        look, written = await together(
            partial(self._keeper.look, self._environment), partial(self._keeper.write, record)
        )
        number = self._number + 1
        if look.highest != self._number or not await self._keeper.create(self._environment, number, written):
            raise await self._loss(await self._keeper.look(self._environment))
        self._number = number
        if self._boottime() - sent > FRESH_S:
            look = await self._keeper.look(self._environment)
            if look.highest != number:
                raise await self._loss(look)
        self._written, self._ends, self._seen = written, sent + record.ttl_s, sent
        self._outdated = look.outdated

    async def _loss(self, look: Look) -> LeaseLost:
        """It is over: by whom, as the number after ours tells, or else the newest one."""
        later = [number for number in look.handles if number > self._number]
        after = None
        if later:
            after = await self._keeper.read(self._environment, min(later), look.handles[min(later)])
        self._over = lost(self._environment, after)
        return self._over


async def _newest(keeper: Keeper, environment: str, look: Look) -> Written | None:
    """What the highest number says; None when there is none."""
    if not look.handles:
        return None
    return await keeper.read(environment, look.highest, look.handles[look.highest])


async def _remove(keeper: Keeper, environment: str, number: int) -> None:
    """Remove a number if it can be had; a later lease tries again."""
    try:
        await keeper.remove(environment, number)
    except LiftlockError:
        return
