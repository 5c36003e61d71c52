"""Two thousand seeds. `make simulate SEEDS=10000` plays more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("LIFTLOCK_SEEDS", "2000"))
AT_ONCE = 50
"""So many seeds are one test, of about half a minute: pytest's processes share the tests among them."""


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
@pytest.mark.promise("P6")
@pytest.mark.promise("P7")
@pytest.mark.timeout(900)  # many times what it takes, for a busy machine
@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_every_promise_holds_in_every_story(first: int) -> None:
    """In a process of its own: the order of sets is fixed there, so a story can be told again."""
    count = min(AT_ONCE, SEEDS + 1 - first)
    played = subprocess.run(
        [
            *(sys.executable, "-m", "tests.simulation"),
            *("--first", str(first), "--seeds", str(count), "--jobs", "1"),
        ],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout[-8000:] + played.stderr[-2000:]
