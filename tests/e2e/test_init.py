"""`liftlock init` beside a world that was deployed already: it finds the project again."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftlock.config import parse
from liftlock.model import Project
from tests.e2e.cloud import Cloud

pytestmark = pytest.mark.e2e


def without_file(cloud: Cloud) -> Project:
    """The reference project, whose file is taken away."""
    text = cloud.workspace.config.read_text()
    cloud.workspace.config.unlink()
    return parse(text, Path("liftlock.toml"), {})


def test_init_finds_the_reference_project_again(fresh: Cloud) -> None:
    wanted = without_file(fresh)
    ran = fresh.run("init")
    assert "Wrote liftlock.toml" in ran.out
    made = parse(fresh.workspace.config.read_text(), Path("liftlock.toml"), {})
    assert list(made.environments) == list(wanted.environments)
    assert {n: e.names for n, e in made.environments.items()} == {
        n: e.names for n, e in wanted.environments.items()
    }
    # Nobody can know what a command's arguments are: it stands in the file as a comment.
    assert set(made.apps) == set(wanted.apps) - {"preferences"}
    assert "# [apps.preferences]" in fresh.workspace.config.read_text()
    for name, app in made.apps.items():
        same = wanted.apps[name]
        assert {e: t.name for e, t in app.targets.items()} == {e: t.name for e, t in same.targets.items()}
        assert dict(app.records) == dict(same.records)
        assert set(app.processes) == set(same.processes)
        assert app.backup or not same.backup
        assert app.targets["dev"].options.get("folder") == same.targets["dev"].options.get("folder")


def test_what_init_wrote_plans_at_once_and_names_every_source(fresh: Cloud) -> None:
    without_file(fresh)
    said = fresh.run("init").said
    for word in ("git's remote origin", "deployment records", ".firebaserc", "records of deploy:ODB"):
        assert word in said
    plan = fresh.run("plan dev staging --json").document
    assert {app for app, one in plan["apps"].items() if one["action"] == "release"} >= {
        "SSO",
        "ODB",
        "Explore",
    }


def test_init_only_looks_and_never_overwrites(fresh: Cloud) -> None:
    kept = fresh.workspace.config.read_text()
    fresh.clear_log()
    ran = fresh.run("init", code=2)
    assert "was left as it is" in ran.err
    assert "[apps.ODB]" in ran.out
    assert fresh.workspace.config.read_text() == kept
    assert parse(fresh.run("init --print").out, Path("liftlock.toml"), {}).apps
    assert fresh.run("init --json", code=2).document["written"] is False
    assert {one["method"] for one in fresh.requests()} == {"GET"}


def test_a_new_file_and_its_workflows_are_one_document(fresh: Cloud) -> None:
    without_file(fresh)
    told = fresh.run("init --github-actions --json").document
    assert told["written"] is True
    assert {one["state"] for one in told["workflows"]["files"]} == {"written"}
    assert "secrets" in told["workflows"]["expects"]


def test_without_a_repository_and_a_terminal_init_says_what_is_missing(fresh: Cloud) -> None:
    (fresh.folder / "empty").mkdir()
    ran = fresh.run("init", code=2, folder="empty")
    assert "--repository OWNER/NAME" in ran.err


def test_a_vendor_that_refuses_is_told_and_the_others_go_on(fresh: Cloud) -> None:
    without_file(fresh)
    fresh.fault(vendor="heroku", method="GET", path="/pipelines", action="status", status=403)
    ran = fresh.run("init")
    assert "Not asked: the apps at Heroku" in ran.said
    assert "firebase" in fresh.workspace.config.read_text()
