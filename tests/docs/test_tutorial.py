"""The tutorial, followed word for word on a modelled sandbox."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from liftlock.config import load
from liftlock.demo.sandbox_process import environment, path_of_this_python, start_sandbox
from liftlock.demo.workspace import world
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial.md"
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Reader"), ("EMAIL", "reader@example.invalid"))
}


@pytest.mark.e2e
def test_every_command_of_the_tutorial_succeeds(tmp_path: Path, program: Path) -> None:
    """A modelled sandbox runs no processes: what `curl` shows of them is not compared."""
    typed = [block for block in blocks(PAGE) if block.kind == "sh" and block.mark != "not run"]
    at = next(i for i, block in enumerate(typed) if block.mark == "second terminal")
    assert typed[at].text == "liftlock sandbox --config liftlock.toml\n"
    variables = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": f"{program.parent}{os.pathsep}{path_of_this_python()}",
        **IDENTITY,
    }
    run("".join(block.text for block in typed[:at]), tmp_path, variables)
    project = tmp_path / "canal"
    with start_sandbox(tmp_path / "sandbox", modelled=True) as sandbox:
        sandbox.request(
            "PUT", "/_sandbox/world", world(load(project / "liftlock.toml", environ={}), sandbox.base)
        )
        told = run("".join(b.text for b in typed[at + 1 :]), project, variables | environment(sandbox))
        images = {
            app: [one["image_id"] for one in state["formation"]]
            for app, state in sandbox.observe()["heroku"]["apps"].items()
        }
    assert "Rollback of canal in production: done" in told
    assert images["canal-api-staging"] == images["canal-api-dev"] != images["canal-api-production"]


def run(script: str, folder: Path, variables: dict[str, str]) -> str:
    """What a shell prints that stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
