"""Leases in memory, for tests and simulations: one object that all takers share."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import anyio.lowlevel

from liftlock.leases.numbered import TTL_S, Look, NumberedLeases
from liftlock.leases.record import FREE, Record, Written, read_record
from liftlock.ports import Clock


class MemoryKeeper:
    """Keeps numbers in a dictionary. Every call lets others go first, as a request would."""

    def __init__(self, clock: Clock, account: str = "memory") -> None:
        self._clock = clock
        self._account = account
        self.numbers: dict[str, dict[int, str]] = defaultdict(dict)
        """By environment: handles by number."""
        self.written: dict[str, tuple[str, str, datetime]] = {}
        """By handle: a record's text, its writer, and when it was written."""

    async def look(self, environment: str) -> Look:
        await anyio.lowlevel.checkpoint()
        return Look(self._clock.now(), dict(self.numbers[environment]))

    async def read(self, environment: str, number: int, handle: str) -> Written:
        await anyio.lowlevel.checkpoint()
        text, writer, at = self.written[handle]
        return Written(read_record(text, f"memory, number {number} of {environment}"), writer, at, handle)

    async def write(self, record: Record) -> Written:
        await anyio.lowlevel.checkpoint()
        handle, now = str(len(self.written)), self._clock.now()
        self.written[handle] = record.text(), self._account, now
        return Written(record, self._account, now, handle)

    async def create(self, environment: str, number: int, written: Written) -> bool:
        await anyio.lowlevel.checkpoint()
        return self.numbers[environment].setdefault(number, written.handle) == written.handle

    async def move(self, environment: str, number: int, written: Written) -> bool:
        await anyio.lowlevel.checkpoint()
        if number not in self.numbers[environment]:
            return False
        self.numbers[environment][number] = written.handle
        return True

    async def free(self, environment: str, number: int) -> None:
        await self.move(environment, number, await self.write(FREE))

    async def remove(self, environment: str, number: int) -> None:
        await anyio.lowlevel.checkpoint()
        self.numbers[environment].pop(number, None)


class MemoryLeases(NumberedLeases):
    """`ports.Leases` without a disk or a vendor."""

    def __init__(self, clock: Clock, account: str = "memory", *, ttl_s: float = TTL_S) -> None:
        super().__init__(MemoryKeeper(clock, account), clock.boottime, ttl_s=ttl_s)
