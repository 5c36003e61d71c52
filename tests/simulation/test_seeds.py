"""Some hundred seeds. `make simulate SEEDS=10000` plays more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("LIFTLOCK_SEEDS", "250"))


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
@pytest.mark.promise("P6")
@pytest.mark.promise("P7")
@pytest.mark.timeout(3600)  # minutes on two idle cores; many times that on a busy machine
def test_every_promise_holds_in_every_story() -> None:
    """In processes of their own: the order of sets is fixed there, so a story can be told again."""
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout[-8000:] + played.stderr[-2000:]
