"""A project that keeps its records in an SQLite file, without GitHub's deployments."""

from __future__ import annotations

import pytest

from liftlock.demo.materials import change_one_app
from liftlock.demo.workspace import publish
from tests.e2e.cloud import ELSEWHERE, Cloud

pytestmark = pytest.mark.e2e


@pytest.mark.promise("P6")
def test_the_main_path_with_an_sqlite_ledger(fresh: Cloud) -> None:
    fresh.configure('ledger = "github"', 'ledger = "sqlite:///liftlock.db"')
    before = fresh.deployments()
    fresh.run("deploy dev --yes")
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    fresh.run("promote dev staging SSO ITC ODB RESOURCE Explore --yes")
    for app in ("SSO", "ITC", "ODB", "RESOURCE"):
        assert fresh.images(app, "staging") == fresh.images(app, "dev") != {}
    assert fresh.live("Explore", "staging") == fresh.live("Explore", "dev")
    assert len(fresh.backups("ODB", "staging")) == 1
    assert (fresh.workspace.services.folder / "liftlock.db").is_file()
    assert fresh.deployments() == before, "GitHub was told nothing"

    history = fresh.run("history staging --json").document
    assert [(one["kind"], one["outcome"]) for one in history] == [("promotion", "success")]
    assert "Nothing to do" in fresh.run("promote dev staging SSO ITC --yes").out
    fresh.run("status staging --check")

    first = fresh.images("ITC", "staging")
    change_one_app(fresh.workspace, "ITC", "1.12.4")
    publish(fresh.sandbox, fresh.workspace)
    fresh.run("deploy dev --yes")
    fresh.run("promote dev staging ITC --yes")
    assert fresh.images("ITC", "staging") == fresh.images("ITC", "dev") != first
    fresh.run("rollback staging --yes")
    assert fresh.images("ITC", "staging") == first
