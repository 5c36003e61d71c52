"""With `--json`, standard output holds exactly one document, however a command ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liftlock.cli.app import run as liftlock

PROJECT = """
[project]
name = "observatory"
ledger = "sqlite:///liftlock.db"
repository = "example/services"
[endpoints]
github = "http://127.0.0.1:9"
heroku = "http://127.0.0.1:9"
heroku_data = "http://127.0.0.1:9"
heroku_registry = "http://127.0.0.1:9"
[environments.dev]
[environments.staging]
from = ["dev"]
[apps.SSO]
heroku = "sso-{env}"
processes.web = { image = "example/sso" }
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = liftlock([*arguments, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "liftlock.toml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("arguments", "code", "kind", "said"),
    [
        (["promote", "dev", "stagin", "--yes"], 2, "UsageError", "There is no environment 'stagin'"),
        (["promote", "dev", "staging", "--yes"], 1, "Unreachable", "Heroku cannot be reached"),
        (["promote", "dev", "staging", "--nonsense"], 2, "UsageError", "--nonsense"),
        (["promote"], 2, "UsageError", "promote takes SOURCE and TARGET"),
        (["resume", "nowhere"], 2, "UsageError", "There is no environment 'nowhere'"),
        (["rollback", "staging", "--yes"], 1, "LiftlockError", "staging"),
        (["lease", "break", "staging", "--reason", "gone"], 1, "LiftlockError", "Nobody holds staging"),
        (["status", "--config", "nowhere.toml"], 2, "ConfigurationError", "nowhere.toml"),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, list) else None,
)
def test_a_refusal_is_one_document(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    kind: str,
    said: str,
) -> None:
    ended, document, told = run(capsys, *arguments)
    assert (ended, document["exit_code"], document["error"]["kind"]) == (code, code, kind)
    assert said in document["error"]["message"]
    assert document["error"]["message"].splitlines()[0] in told
    assert document.keys() == {"exit_code", "error"}


def test_a_resume_of_nothing_is_one_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document, _ = run(capsys, "resume", "staging")
    assert code == document["exit_code"] == 0
    assert (document["promotion"], document["did"], document["error"]) == (None, None, None)


def test_without_json_an_error_is_no_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert liftlock(["promote", "dev", "stagin", "--yes"]) == 2
    assert capsys.readouterr().out == ""
