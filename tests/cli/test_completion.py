"""TAB in real shells: names of the project's file, at once and without the network."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

PROJECT = """
[project]
name = "shop"
ledger = "sqlite:///shop.db"
repository = "example/shop"
[environments.dev]
[environments.staging]
from = ["dev"]
[environments.production]
from = ["staging"]
[apps.API]
heroku = "api-{env}"
processes.web = { image = "api" }
[apps.Site]
firebase = "shop-{env}"
"""

BASH = """
source "$1"
shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
$(complete -p liftlock | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p') liftlock "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "liftlock.toml").write_text(PROJECT)
    return tmp_path


@pytest.fixture
def environ(program: Path, tmp_path: Path) -> dict[str, str]:
    # An address where nothing listens: who asked the network would fail, and take its time.
    nowhere = dict.fromkeys(
        ("GITHUB_API_URL", "HEROKU_API_URL", "FIREBASE_HOSTING_API_URL"), "http://127.0.0.1:9"
    )
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), **nowhere}


def script(program: Path, shell: str, folder: Path, environ: dict[str, str]) -> Path:
    """The completion's file, as `liftlock completion SHELL` prints it."""
    done = subprocess.run(
        [program, "completion", shell], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    path = folder / f"completion.{shell}"
    path.write_text(done.stdout)
    return path


def offered(line: str, path: Path, folder: Path, environ: dict[str, str]) -> list[str]:
    """What bash offers for the last word of a line."""
    done = subprocess.run(
        ["bash", "-c", BASH, "bash", str(path), *shlex.split(line)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_offers_commands_and_the_project_s_names(
    program: Path, folder: Path, environ: dict[str, str]
) -> None:
    path = script(program, "bash", folder, environ)

    def tab(line: str) -> list[str]:
        return offered(line, path, folder, environ)

    assert "promote" in tab("liftlock pro")
    assert "--dry-run" in tab("liftlock promote --d")
    assert tab("liftlock promote ''") == ["dev", "staging"]
    assert tab("liftlock promote dev ''") == ["staging"]
    assert tab("liftlock promote dev staging ''") == ["API", "Site"]
    assert tab("liftlock promote dev staging API ''") == ["Site"]
    assert tab("liftlock status pro") == ["production"]
    assert tab("liftlock promote dev staging --override so") == ["soak", "source_healthy"]


def test_ids_of_promotions_come_from_a_ledger_that_is_a_file(
    program: Path, folder: Path, environ: dict[str, str]
) -> None:
    path = script(program, "bash", folder, environ)
    line = "liftlock rollback staging --to ''"
    assert offered(line, path, folder, environ) == []
    assert not (folder / "shop.db").exists()
    with sqlite3.connect(folder / "shop.db") as db:
        db.execute(
            "CREATE TABLE intents (id INTEGER, project TEXT, environment TEXT, state TEXT, created_at TEXT)"
        )
        at = "2026-11-20T12:00:00+00:00"
        rows = [(7, "shop", "staging", "success", at), (8, "shop", "production", "failure", at)]
        db.executemany("INSERT INTO intents VALUES (?, ?, ?, ?, ?)", rows)
    db.close()
    assert offered(line, path, folder, environ) == ["7"]


def test_a_wrong_file_offers_no_names_and_says_nothing(
    program: Path, folder: Path, environ: dict[str, str]
) -> None:
    path = script(program, "bash", folder, environ)
    (folder / "liftlock.toml").write_text("not TOML")
    assert offered("liftlock promote ''", path, folder, environ) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_understand_theirs(
    program: Path, folder: Path, environ: dict[str, str], shell: str
) -> None:
    path = script(program, shell, folder, environ)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "--no-execute" if shell == "fish" else "-n", str(path)], check=True)


def test_fish_offers_the_project_s_names(program: Path, folder: Path, environ: dict[str, str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    path = script(program, "fish", folder, environ)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {path}; complete -C 'liftlock promote dev '"],
        cwd=folder, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["staging"]


def test_it_is_installed_where_bash_looks(program: Path, folder: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [program, "completion", "bash", "--install"], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )  # fmt: skip
    path = folder / ".local/share/bash-completion/completions/liftlock"
    assert str(path) in done.stdout
    assert path.is_file()
