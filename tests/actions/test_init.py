"""`liftlock init --github-actions`, as it is typed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from liftlock.cli.app import run
from tests.actions.test_workflows import SHOP


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(tmp_path)], check=True)
    (tmp_path / "liftlock.toml").write_text(SHOP)
    (tmp_path / "Makefile").write_text("test:\n\ttrue\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_the_workflows_of_a_project_and_says_what_they_expect(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--github-actions"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    folder = checkout / ".github" / "workflows"
    assert f"Wrote {folder / 'liftlock-deploy.yml'}" in said
    assert (
        "environments deploy-dev, promote-staging, promote-production secrets CHECK_KEY, HEROKU_API_KEY"
        in said
    )
    assert "make test" in (folder / "liftlock-deploy.yml").read_text()


def test_the_main_branch_is_origin_s(checkout: Path) -> None:
    head = checkout / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    head.parent.mkdir(parents=True)
    head.write_text("ref: refs/remotes/origin/release/next\n")
    assert run(["init", "--github-actions", "--json"]) == 0
    assert 'branches: ["release/next"]' in (checkout / ".github/workflows/liftlock-deploy.yml").read_text()


def test_a_project_below_the_root_is_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "ops").mkdir()
    (checkout / "liftlock.toml").rename(checkout / "ops" / "liftlock.toml")
    monkeypatch.chdir(checkout / "ops")
    assert run(["init", "--github-actions", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [one["state"] for one in files] == ["written", "written"]
    for one in files:
        text = Path(one["path"]).read_text()
        assert Path(one["path"]).parent == checkout / ".github" / "workflows"
        assert text.count(" --config ops/liftlock.toml\n") == 2


def test_what_is_there_is_compared_and_left(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = checkout / ".github" / "workflows" / "liftlock-promote.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("name: Mine\n")
    assert run(["init", "--github-actions"]) == 0
    said = capsys.readouterr().out
    assert f"{mine} is there already, and was left as it is. It differs:" in said.replace("\n", " ").replace(
        "  ", " "
    )
    assert "-name: Mine" in said
    assert mine.read_text() == "name: Mine\n"


def test_an_action_needs_a_commit(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--github-actions", "--action", "example/liftlock@main"]) == 2
    assert "does not name an action by its commit" in capsys.readouterr().err
    assert run(["init", "--action", "example/liftlock@main"]) == 2
    assert not (checkout / ".github").exists()
