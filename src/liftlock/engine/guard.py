"""Keeps a lease alive while a run goes on, and says whether a change may begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from liftlock.engine.execute import StopRequest
from liftlock.errors import LeaseLost, LiftlockError, ours
from liftlock.ports import Lease

CALL_S = 60.0
"""The longest that one changing call may take, its retries included."""
MARGIN_S = 15.0
"""What must be left of the lease when such a call ends; clocks differ and answers travel."""
RETRY_S = 5.0
SOON_S = 3.0
"""How long after a change the lease is looked at again."""


class Guard:
    """One run's lease."""

    def __init__(self, lease: Lease, stop: StopRequest) -> None:
        self._lease = lease
        self._stop = stop
        self._lost: LeaseLost | None = None
        self._look_soon = anyio.Event()
        self._given_back = anyio.Event()
        self._freed = False

    @property
    def token(self) -> int:
        return self._lease.holding.token

    async def before_change(self) -> None:
        """Return if a change may begin. Raises `LeaseLost` if the lease may not outlast it."""
        if self._lost is None and self._lease.lasts_s() < CALL_S + MARGIN_S:
            try:
                await self._lease.renew()
            except LeaseLost as error:
                self._lost = error
        if self._lost is not None:
            raise self._lost
        if self._lease.lasts_s() < CALL_S + MARGIN_S:
            raise LeaseLost(
                f"The lease on {self._lease.holding.environment} has too little time left to begin a change.",
                hint="Nothing new was begun. See who holds it with: liftlock lease show",
            )

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
