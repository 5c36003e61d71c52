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

from liftlock.errors import Busy, LiftlockError
from liftlock.leases import sqlite as module
from liftlock.leases.numbered import NumberedLeases
from liftlock.leases.processes import is_gone, this_process
from liftlock.leases.sqlite import SqliteKeeper
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.sqlite_file import MIGRATIONS, SqliteFile
from liftlock.wiring import SystemClock
from tests.leases.worlds import sqlite_world
from tests.ledgers.test_plugins import context
from tests.ledgers.worlds import Ticking

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


HOLDER = TAKER.replace(
    'for environment in ("a", "b", "c", "d", "e")', "for environment in ('staging',)"
).replace("anyio.run(main)", "anyio.run(main); print('holds', flush=True); sys.stdin.readline()")


async def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    """Its process is gone, and with it whatever it might have changed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "liftlock.db")]
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else goes on here
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert _said(holder) == "ready\n"
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert _said(holder) == "won staging 1\n"
        assert _said(holder) == "holds\n"
        leases = NumberedLeases(
            SqliteKeeper(SqliteFile(tmp_path / "liftlock.db"), "observatory", SystemClock()), lambda: 0.0
        )
        with pytest.raises(Busy, match=f"pid {holder.pid}"):
            await leases.take("staging", "another promotion")
        holder.kill()
        holder.wait()
        assert await leases.holding("staging") is None
        after = await leases.take("staging", "another promotion")
        assert after.holding.token == 2
        assert after.vacant_s() == 0  # since when it has been dead, nobody knows


async def test_what_a_killed_holder_journaled_is_handed_on(tmp_path: Path) -> None:
    """A number that was given to another process meanwhile is no proof that its holder lives."""
    async with sqlite_world(tmp_path) as world:
        lease = await world.leases().take("staging", "a promotion")
        await lease.write({"backups": ["b001"]})
        with pytest.raises(Busy):
            await world.leases().take("staging", "another promotion")
        began = this_process().rpartition(" ")[2]
        with closing(sqlite3.connect(tmp_path / "liftlock.db")) as db, db:
            db.execute("UPDATE leases SET record = replace(record, ?, ?)", (f" {began}", " 1"))
        taken = await world.leases().take("staging", "another promotion")
        assert taken.holding.token == 2
        assert taken.journal == ({"backups": ["b001"]},)


def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_only_what_proves_that_a_process_ended_counts() -> None:
    boot, namespace, pid, began = this_process().split()
    gone = ended()
    assert not is_gone(this_process())
    assert is_gone(f"{boot} {namespace} {gone} {began}")
    assert is_gone(f"{boot} {namespace} {pid} 1")  # the number is ours now
    assert not is_gone(f"another {namespace} {gone} {began}")  # another machine, or before this boot
    assert not is_gone(f"{boot} pid:[1] {gone} {began}")  # another container
    for nonsense in (
        "",
        "x",
        f"{boot} {namespace} -1 1",
        f"{boot} {namespace} 0 1",
        f"{boot} {namespace} ٣ 1",
    ):
        assert not is_gone(nonsense)


def test_a_process_that_has_ended_and_was_not_noticed_is_gone() -> None:
    boot, namespace, _, _ = this_process().split()
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        began = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert is_gone(f"{boot} {namespace} {process.pid} {began}")


def test_a_process_that_is_hidden_from_us_lives(tmp_path: Path) -> None:
    """Without what the kernel tells of it, whoever can be sent a signal counts as alive."""
    boot, namespace, pid, began = this_process().split()
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(boot)
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(namespace)
    (tmp_path / "self/stat").write_text(Path("/proc/self/stat").read_text())
    assert not is_gone(f"{boot} {namespace} {pid} 1", tmp_path)
    assert is_gone(f"{boot} {namespace} {ended()} {began}", tmp_path)


def test_where_the_system_names_no_processes_nobody_is_gone(tmp_path: Path) -> None:
    assert this_process(tmp_path) == ""
    assert not is_gone(this_process(), tmp_path)


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
        file = SqliteFile(tmp_path / "liftlock.db")
        row = ("observatory", "key-1", "staging", "{}", "owner", "2026-11-01T12:00:00+00:00", "in_progress")
        await file.write(
            lambda db: db.execute(
                "INSERT INTO intents (project, key, environment, payload, creator, created_at, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            ),
            durable=True,
        )
        file.close()
    async with sqlite_world(tmp_path) as world:
        assert (await world.leases().take("staging", "a promotion")).holding.token == 1
    ledger = SqliteLedger(tmp_path / "liftlock.db", "observatory", Ticking())
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
