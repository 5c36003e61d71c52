"""PostgreSQL's own programs, for the databases whose apps live on a swarm.

They are played, not started: a process takes real time. What they write is real, and lies in the story's
folder. What they do they do at their end, and whoever is killed meanwhile takes them along.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import anyio
import anyio.lowlevel
import trio

from liftlock.databases.pg_programs import Programs
from liftlock.databases.postgres import PlainPostgres
from liftlock.errors import LiftlockError
from liftlock.postgresql.address import Address
from tests.simulation.actors import Actor
from tests.simulation.changes import place
from tests.simulation.weather import Weather

RESTORE_S = 2.0


class PlayedPostgres(PlainPostgres):
    """`databases.postgres` with programs that are played."""

    def __init__(self, real: PlainPostgres, programs: PlayedPrograms) -> None:
        super().__init__(real._context)
        self._programs = programs


class PlayedPrograms(Programs):
    """`pg_dump`, `pg_restore -l`, and `psql` that reads an archive's script."""

    def __init__(
        self,
        actor: Actor,
        weather: Weather,
        dump_s: float,
        dumped: Callable[[Actor, float], bytes],
        restores: Callable[[Actor, str, str], None],
    ) -> None:
        super().__init__({})
        self._actor = actor
        self._weather = weather
        self._dump_s = dump_s
        self._dumped = dumped
        self._restores = restores

    async def run(
        self,
        program: str,
        *arguments: str,
        address: Address | None = None,
        script: str | AsyncGenerator[bytes, None] = "",
    ) -> bytes:
        actor = self._actor
        number, began = actor.begin_request(), trio.current_time()
        actor._befalls("before", number)
        await actor._awake()
        if program == "psql" and address is not None and not actor.dead:
            self._restores(actor, *place(address.database))
        await anyio.sleep({"pg_dump": self._dump_s, "psql": RESTORE_S}.get(program, 0.0))
        await actor._awake()
        if actor.dead:
            raise LiftlockError("it is dead")
        if self._weather.fails_program():
            raise self.failure(program, b"error: server closed the connection unexpectedly", address)
        if program == "pg_dump":
            await anyio.Path(arguments[arguments.index("-f") + 1]).write_bytes(self._dumped(actor, began))
        actor._befalls("after", number)
        await anyio.lowlevel.checkpoint()
        return b"1; 0 16384 TABLE DATA public accounts owner\n" if program == "pg_restore" else b""
