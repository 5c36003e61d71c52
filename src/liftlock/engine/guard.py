"""Keeps a lease alive while a run goes on, and says whether a change may begin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from liftlock import changes
from liftlock.engine.events import Emit, Notice
from liftlock.engine.execute import StopRequest
from liftlock.errors import LeaseLost, LiftlockError, ours
from liftlock.ports import Lease

CALL_S = 30.0
"""The longest that one request of a change may take; a repeat is another one."""
MARGIN_S = 15.0
"""What must be left of the lease when such a request ends; clocks differ and answers travel."""
SEEN_S = 3.0
"""How long ago the lease may have been seen to be ours when a change begins."""
UNSEEN_S = 45.0
"""The same while whoever keeps the leases does not answer: a change waits rather than begin later than that."""
LOOK_S = 10.0
"""How long such a look may take."""
RETRY_S = 5.0
SOON_S = 3.0
"""How long after a change the lease is looked at again."""


class Guard:
    """One run's lease."""

    def __init__(self, lease: Lease, stop: StopRequest, emit: Emit = lambda _: None) -> None:
        self._lease = lease
        self._stop = stop
        self._emit = emit
        self._lost: LeaseLost | None = None
        self._turn = anyio.Lock()
        """Changes that begin together are let go by one look."""
        self._look_soon = anyio.Event()
        self._given_back = anyio.Event()
        self._freed = False

    @property
    def token(self) -> int:
        return self._lease.holding.token

    @property
    def is_lost(self) -> bool:
        """Whether it is known that somebody else decides about the environment by now."""
        return self._lost is not None

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """For a change: it may begin, and whatever it sends later on asks again. Raises `LeaseLost`."""
        await self.before_change()
        with changes.guarded(self.before_change):
            yield

    async def before_change(self, lasts_s: float = CALL_S) -> None:
        """Return if a change that takes at most `lasts_s` may begin.

        The lease has time for it, and was seen to be ours a moment ago. Raises `LeaseLost` when it
        is not ours any more, or cannot be shown to last.
        """
        async with self._turn:
            with changes.guarded(None):  # the lease's own requests ask nobody
                await self._make_sure(lasts_s + MARGIN_S)

    async def _make_sure(self, needs_s: float) -> None:
        told = False
        while True:
            if self._lost is not None:
                raise self._lost
            failure = await self._look(needs_s)
            if self._lease.lasts_s() < needs_s:
                raise LeaseLost(
                    f"The lease on {self._environment} has too little time left to begin a change"
                    + (f": {failure.message}" if failure else "."),
                    hint=f"Nothing new was begun. See who holds it with: liftlock lease show {self._environment}",
                )
            if failure is None or self._lease.seen_s() <= UNSEEN_S:
                return
            if not told:
                self._emit(
                    Notice(f"The lease cannot be looked at, which a change waits for: {failure.headline}")
                )
                told = True
            await anyio.sleep(RETRY_S)

    async def _look(self, needs_s: float) -> LiftlockError | None:
        """See that it is ours, and has so much time. Gives why that could not be seen; raises `LeaseLost`."""
        has_time = self._lease.lasts_s() >= needs_s
        if has_time and self._lease.seen_s() <= SEEN_S:
            return None
        try:
            if not has_time:
                await self._lease.renew()
                return None
            with anyio.fail_after(LOOK_S):
                await self._lease.look()
        except LeaseLost as error:
            self._lost = error
            raise
        except TimeoutError:
            return LiftlockError(f"no answer within {LOOK_S:.0f} s")
        except LiftlockError as error:
            return error
        return None

    @property
    def _environment(self) -> str:
        return self._lease.holding.environment

    async def before_closing(self) -> None:
        """Return if the promotion's own record is ours to be closed. Raises `LeaseLost`.

        Whoever took the lease from us may be finishing the promotion, and says how it ended. One
        that we gave back is another matter: then all was recorded before.
        """
        if not self._freed:
            await self.before_change()

    def after_change(self) -> None:
        """Have the lease looked at again soon, without waiting for it."""
        self._look_soon.set()

    async def write(self, entry: Mapping[str, Any]) -> None:
        """Append to the lease's journal. Raises `LeaseLost`."""
        await self._lease.write(entry)

    async def free(self) -> None:
        """Give the lease back: nothing is changed any more."""
        self._freed = True
        self._look_soon.set()
        self._given_back.set()
        await self._lease.free()

    async def keep(self) -> None:
        """Renew the lease for as long as this runs; a loss asks the run to stop."""
        while self._lost is None and not self._freed:
            pause_s = max(self._lease.lasts_s() / 3, RETRY_S)
            with anyio.move_on_after(pause_s):
                await self._look_soon.wait()
                # Not at once: many apps are switched together, and a run that ends before then
                # gives the lease back, which would have to wait for this.
                with anyio.move_on_after(SOON_S):
                    await self._given_back.wait()
            self._look_soon = anyio.Event()
            if self._freed:
                return
            try:
                with ours("the lease"):
                    await self._lease.renew()
            except LeaseLost as error:
                self._lost = error
                self._stop.ask(error.headline)
            except LiftlockError:
                # The keeper of leases does not answer: there is time for another try, and
                # `before_change` refuses to begin anything once there is not.
                await anyio.sleep(RETRY_S)
