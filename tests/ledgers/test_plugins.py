"""How the built-in ledgers and the notifier are made of a project: without asking anybody anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import UsageError
from liftlock.ledgers import github, sqlite
from liftlock.notifiers import slack
from liftlock.plugins import Context
from tests.ledgers.worlds import Ticking, observatory


def context(**changes: Any) -> Context:
    def unasked(*arguments: str) -> Any:
        raise AssertionError(f"{arguments} was asked for too early")

    project = dataclasses.replace(observatory(), **changes)
    return Context(project, unasked, unasked, None, Ticking(), {}, unasked, unasked)  # type: ignore[arg-type]


def test_the_github_ledger_needs_no_token_before_it_is_used() -> None:
    assert github.plugin.build(context()).name == github.plugin.name == "github"


def test_the_github_ledger_needs_a_repository() -> None:
    with pytest.raises(UsageError, match="names none"):
        github.plugin.build(context(repository=""))


def test_the_sqlite_ledger_makes_no_file_before_it_is_used(tmp_path: Path) -> None:
    made = sqlite.plugin.build(context(ledger="sqlite:///state/liftlock.db", root=str(tmp_path)))
    assert made.name == sqlite.plugin.name == "sqlite"
    assert list(tmp_path.iterdir()) == []


def test_slack_looks_its_secret_up_when_there_is_something_to_tell() -> None:
    made = slack.plugin.build(context(notify={"slack": {"webhook": "env:SLACK_WEBHOOK_URL"}}))
    assert made.name == slack.plugin.name == "slack"


def test_slack_needs_a_webhook() -> None:
    with pytest.raises(UsageError, match="names no webhook"):
        slack.plugin.build(context())
