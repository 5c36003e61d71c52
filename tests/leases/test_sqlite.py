"""Leases in the ledger's file, among other processes."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import LiftlockError
from liftlock.leases import sqlite as module
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.sqlite_file import MIGRATIONS
from liftlock.wiring import SystemClock
from tests.leases.worlds import sqlite_world
from tests.ledgers.test_plugins import context
from tests.ledgers.worlds import Ticking, new_intent

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P3")]

TAKER = """
import sys, anyio
from pathlib import Path
from liftlock.errors import Busy
from liftlock.leases.numbered import NumberedLeases
from liftlock.leases.sqlite import SqliteKeeper
from liftlock.sqlite_file import SqliteFile
from liftlock.wiring import SystemClock

async def main():
    clock = SystemClock()
    leases = NumberedLeases(SqliteKeeper(SqliteFile(Path(sys.argv[1])), "observatory", clock), clock.boottime)
    print("ready", flush=True)
    sys.stdin.readline()
    for environment in ("a", "b", "c", "d", "e"):
        try:
            print("won", environment, (await leases.take(environment, "a promotion")).holding.token)
        except Busy as busy:
            print("lost", environment, "pid" in busy.message)

anyio.run(main)
"""


def test_of_eight_processes_one_wins_each_environment(tmp_path: Path) -> None:
    """None of them ever gives it back: no number is given out twice."""
    path = tmp_path / "liftlock.db"
    command = [sys.executable, "-c", TAKER, str(path)]
    with ExitStack() as running:
        takers = [
            running.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(8)
        ]
        assert [_said(taker) for taker in takers] == ["ready\n"] * 8
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write("go\n")
            taker.stdin.flush()
        lines = [line for taker in takers for line in taker.communicate(timeout=60)[0].splitlines()]
    assert sorted(line for line in lines if line.startswith("won")) == [f"won {e} 1" for e in "abcde"]
    assert sorted(line for line in lines if line.startswith("lost")) == sorted(
        f"lost {e} True" for e in "abcde" for _ in range(7)
    )
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM leases").fetchone() == (5,)


def _said(taker: subprocess.Popen[str]) -> str:
    assert taker.stdout is not None
    return taker.stdout.readline()


async def test_the_holder_is_a_process(tmp_path: Path) -> None:
    made: Any = module.plugin.build(context(ledger="sqlite:///liftlock.db", root=str(tmp_path)))
    assert made._keeper.file.connection is None
    lease = await made.take("staging", "a promotion")
    assert f"@{socket.gethostname()} pid {os.getpid()}" in lease.holding.holder
    made._keeper.file.close()


async def test_a_file_from_before_leases_learns_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("liftlock.sqlite_file.MIGRATIONS", MIGRATIONS[:1])
        ledger = SqliteLedger(tmp_path / "liftlock.db", "observatory", Ticking())
        await ledger.open_intent(new_intent())
        ledger.close()
    async with sqlite_world(tmp_path) as world:
        assert (await world.leases().take("staging", "a promotion")).holding.token == 1
    assert len(await ledger.intents(None, 10)) == 1
    ledger.close()


async def test_a_row_that_was_changed_is_named(tmp_path: Path) -> None:
    async with sqlite_world(tmp_path) as world:
        lease = await world.leases().take("staging", "a promotion")
        await lease.write({"backups": ["b001"]})
        with sqlite3.connect(tmp_path / "liftlock.db") as db:
            db.execute("UPDATE leases SET record = replace(record, 'b001', 'b002')")
        db.close()
        with pytest.raises(
            LiftlockError, match=r"liftlock\.db, number 1 of staging is broken at entry 1 of 1"
        ):
            await world.leases().holding("staging")


def test_the_machines_clock_counts_on() -> None:
    clock = SystemClock()
    began = clock.boottime()
    assert clock.boottime() >= began > 0
