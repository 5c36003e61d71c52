"""Other people's programs end when they should: by themselves, in time, and with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from liftlock import tether
from liftlock.commands.run import QUIET_S
from liftlock.programs import Outcome, run

VARIABLES = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
STARTER = """
import anyio, os, pathlib, sys
from liftlock.programs import run
anyio.run(run, sys.argv[1:], pathlib.Path.cwd(), {"PATH": os.environ["PATH"]})
"""
APPLY = """
import os, pathlib, signal, subprocess, sys, time
for number in %s:
    signal.signal(number, signal.SIG_IGN)
helper = subprocess.Popen(["sleep", "600"])
pathlib.Path("pids.new").write_text(f"{os.getpid()} {helper.pid}")
pathlib.Path("pids.new").rename("pids")
time.sleep(600)
"""

pytestmark = pytest.mark.anyio


async def program(folder: Path, script: str, **more: object) -> Outcome:
    return await run([sys.executable, "-c", script], folder, VARIABLES, **more)  # type: ignore[arg-type]


def until(holds: Callable[[], object], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("code", [0, 3, 127])
async def test_its_exit_code_and_its_words_are_told(tmp_path: Path, code: int) -> None:
    outcome = await program(tmp_path, f"print('done'); raise SystemExit({code})")
    assert outcome == Outcome(code, ("done",))


async def test_the_signal_that_ended_it_is_told(tmp_path: Path) -> None:
    outcome = await program(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert outcome.exit_code == -signal.SIGSEGV


async def test_one_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    assert await run(["./migrate"], tmp_path, VARIABLES) == Outcome(
        127, ("./migrate: No such file or directory",)
    )


async def test_it_reads_what_it_is_given_and_else_nothing(tmp_path: Path) -> None:
    script = "import sys; print(repr(sys.stdin.read()))"
    assert (await program(tmp_path, script, given="a plan")).lines == ("'a plan'",)
    assert (await program(tmp_path, script)).lines == ("''",)


async def test_it_has_the_signals_of_any_program(tmp_path: Path) -> None:
    script = "import signal; print([signal.getsignal(n).name for n in (signal.SIGTERM, signal.SIGHUP)])"
    outcome = await run([sys.executable, "-c", script], tmp_path, VARIABLES)
    assert outcome.lines == ("['SIG_DFL', 'SIG_DFL']",)


async def test_one_that_runs_out_of_time_ends_with_all_that_it_started(tmp_path: Path) -> None:
    with anyio.fail_after(20):
        outcome = await program(tmp_path, APPLY % "[]", limit_s=1.0)
    assert outcome.exit_code is None
    assert not any(map(lives, map(int, (tmp_path / "pids").read_text().split())))


@pytest.mark.promise("P5")
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize("deaf", [False, True], ids=["that ends when asked", "that has to be killed"])
def test_it_ends_with_a_liftlock_that_was_killed(tmp_path: Path, deaf: bool) -> None:
    """So that whoever resumes finds nothing at work any more."""
    script = APPLY % ("[signal.SIGTERM]" if deaf else "[]")
    command = [sys.executable, "-c", STARTER, sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=tmp_path) as starter:
        until((tmp_path / "pids").exists)
        started = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(map(lives, started))
        starter.kill()
    until(lambda: not any(map(lives, started)))


def test_a_resume_waits_for_longer_than_a_command_outlives_its_liftlock() -> None:
    assert QUIET_S > tether.GRACE_S
