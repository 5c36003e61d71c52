"""The tutorial, followed word for word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liftlock.config import load
from liftlock.demo.sandbox_process import environment, path_of_this_python, start_sandbox
from liftlock.demo.workspace import world
from tests.docs.pages import ROOT
from tests.docs.reader import follow, typed

PAGE = ROOT / "docs" / "tutorial.md"
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Reader"), ("EMAIL", "reader@example.invalid"))
}


@pytest.mark.e2e
def test_the_tutorial_goes_as_it_says(tmp_path: Path, program: Path) -> None:
    steps = typed(PAGE)
    at = next(i for i, one in enumerate(steps) if one.block.mark == "second terminal")
    assert steps[at].block.text == "liftlock sandbox --config liftlock.toml\n"
    variables = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "LOGNAME": "me",
        "PATH": f"{program.parent}{os.pathsep}{path_of_this_python()}",
        **IDENTITY,
    }
    follow(steps[:at], tmp_path, variables)
    project = tmp_path / "canal"
    with start_sandbox(tmp_path / "sandbox") as sandbox:
        sandbox.request(
            "PUT", "/_sandbox/world", world(load(project / "liftlock.toml", environ={}), sandbox.base)
        )
        follow(steps[at + 1 :], project, variables | environment(sandbox))
        images = {
            app: [one["image_id"] for one in state["formation"]]
            for app, state in sandbox.observe()["heroku"]["apps"].items()
        }
    assert images["canal-api-staging"] == images["canal-api-dev"] != images["canal-api-production"]
