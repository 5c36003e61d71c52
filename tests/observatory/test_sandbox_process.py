"""The sandbox as a process: started, told of the observatory, restarted, stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from liftlock.config import load
from liftlock.demo import materials
from liftlock.demo.sandbox_process import (
    SandboxFailed,
    environment,
    environment_of,
    shell_exports,
    start_sandbox,
)
from liftlock.demo.workspace import prepare, publish


def test_a_sandbox_learns_of_the_observatory_and_keeps_it(tmp_path: Path) -> None:
    workspace = materials.create_workspace(tmp_path / "work")
    with start_sandbox(tmp_path / "state", modelled=True) as sandbox:
        assert sandbox.request("GET", "/_sandbox/health")["ok"] is True
        prepare(sandbox, workspace, {"itc-staging": {"MORE": "1"}})
        materials.add_priority(workspace)
        publish(sandbox, workspace)
        seen = sandbox.observe()["heroku"]
        assert "MORE" in str(seen)
    assert sandbox.process
    assert sandbox.process.returncode is not None
    sandbox.stop()
    with start_sandbox(tmp_path / "state", modelled=True) as sandbox:
        commits = sandbox.request("GET", "/repos/example/services/commits")
        assert commits[0]["sha"] == workspace.services.head()
        assert commits[0]["commit"]["message"].startswith("Add observing-block priority to ODB\n\n")
        assert sandbox.ask("GET", "/repos/example/services/commits", token="nobody")[0] == 401


def test_a_sandbox_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        start_sandbox(tmp_path / "one", modelled=True) as sandbox,
        pytest.raises(SandboxFailed, match="cannot listen on"),
    ):
        start_sandbox(tmp_path / "two", port=sandbox.port, modelled=True)


def test_the_variables_name_every_endpoint(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "state", modelled=True) as sandbox:
        variables = environment(sandbox)
    assert {name for name in variables if variables[name] == sandbox.base} == {
        "GITHUB_API_URL",
        "HEROKU_API_URL",
        "HEROKU_DATA_URL",
        "HEROKU_REGISTRY_URL",
        "FIREBASE_HOSTING_API_URL",
    }
    assert Path(variables["PREFERENCES_HOME"]).is_dir()
    assert f"export GITHUB_API_URL='{sandbox.base}'\n" in shell_exports(variables)


def test_a_project_is_told_the_variables_that_it_needs_and_no_others(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "state", modelled=True) as sandbox:
        workspace = materials.create_workspace(tmp_path / "work")
        observatory = load(workspace.services.folder / "liftlock.toml", environment_of(sandbox, None))
        assert environment_of(sandbox, observatory).keys() == environment(sandbox).keys()
        others = replace(observatory, apps={"SSO": observatory.apps["SSO"]})
        for project in (None, others):
            assert environment_of(sandbox, project).keys() == environment(sandbox).keys() - {
                "MIGRATE_KEY",
                "PREFERENCES_HOME",
            }
