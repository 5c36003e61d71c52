"""The preferences' migration: says what is to do, does it once, and refuses who may not."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Migrate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def migrate(observatory: Path, tmp_path: Path) -> Migrate:
    def run(*arguments: str, key: str = "right") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(observatory / "explore" / "migrate"), *arguments],
            env={"PATH": os.environ["PATH"], "MIGRATE_KEY": key, "PREFERENCES_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_status_tells_work_from_none_and_apply_does_it_once(migrate: Migrate, tmp_path: Path) -> None:
    before = migrate("status", "dev")
    assert before.returncode == 10
    assert before.stdout == "pending: 0001_preferences\npending: 0002_layouts\npending: metadata\n"
    assert migrate("apply", "dev").stdout.count("applied: ") == 3
    assert migrate("status", "dev").returncode == 0
    assert migrate("apply", "dev").stdout == "preferences in dev are up to date\n"
    assert migrate("status", "staging").returncode == 10
    with sqlite3.connect(tmp_path / "dev.db") as server:
        assert server.execute("SELECT count(*) FROM layouts").fetchone() == (0,)
    server.close()


def test_a_wrong_key_is_refused_and_never_shown(migrate: Migrate) -> None:
    migrate("apply", "dev")
    for verb in ("status", "apply"):
        refused = migrate(verb, "dev", key="wrong-key")
        assert refused.returncode == 1
        assert "access denied" in refused.stderr
        assert "wrong-key" not in refused.stdout + refused.stderr
    assert migrate("status", "dev", key="").returncode == 1


@pytest.mark.parametrize("arguments", [(), ("status",), ("undo", "dev"), ("status", "dev", "now")])
def test_a_wrong_command_line_is_neither_work_nor_none(migrate: Migrate, arguments: tuple[str, ...]) -> None:
    assert migrate(*arguments).returncode == 2
