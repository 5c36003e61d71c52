"""The workflows that `init --github-actions` writes, step by step, as a runner would run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.cloud import Cloud, Ran
from tests.e2e.test_github_actions import Runner
from tests.e2e.test_signals import being_verified, prepare

pytestmark = pytest.mark.e2e

BEGAN = "always() && steps.liftlock.outputs.began == 'true'"


class Job:
    """One job of a workflow in a checkout, run by hand."""

    def __init__(
        self, cloud: Cloud, folder: Path, workflow: str, job: str, inputs: Mapping[str, str]
    ) -> None:
        cloud.run("init --github-actions")
        path = cloud.folder / "services" / ".github" / "workflows" / workflow
        document: Any = YAML(typ="safe").load(path)
        self.document = document
        self._steps = [
            step for step in document["jobs"][job]["steps"] if "exec liftlock" in step.get("run", "")
        ]
        self._cloud = cloud
        self._folder = folder
        self._values = {f"inputs.{name}": value for name, value in inputs.items()}
        self.runner = Runner(folder / "runner")

    def start(self, step: int) -> subprocess.Popen[str]:
        """Start a step's script with the shell that a runner takes by default."""
        wanted = self._steps[step]
        script = self._folder / f"{step}.sh"
        script.write_text(wanted["run"])
        variables = {
            **self._cloud.variables,
            **self.runner.variables,
            **{name: value for name, text in wanted["env"].items() if (value := self._computed(text))},
            "PATH": os.pathsep.join([str(self._cloud.program.parent), self._cloud.variables["PATH"]]),
        }
        return subprocess.Popen(
            ["bash", "-e", str(script)],
            cwd=self._cloud.folder / "services",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, step: int, code: int = 0) -> Ran:
        return self._cloud.end(self.start(step), code)

    def condition(self, step: int) -> str:
        return str(self._steps[step].get("if", ""))

    def _computed(self, text: str) -> str:
        """Inputs have their values; secrets and tokens come from the sandbox."""
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: self._values.get(found[1], ""), text)


def test_a_push_is_deployed_and_a_promotion_lifts_it(fresh: Cloud, tmp_path: Path) -> None:
    (tmp_path / "push").mkdir()
    push = Job(fresh, tmp_path / "push", "liftlock-deploy.yml", "deploy", {})
    push.run(0)
    assert push.runner.outputs["state"] == "unchanged", "it is deployed already"
    assert push.document["jobs"]["deploy"]["needs"] == ["tests"]

    (tmp_path / "dispatch").mkdir()
    chosen = {"source": "dev", "target": "staging"}
    dispatch = Job(fresh, tmp_path / "dispatch", "liftlock-promote.yml", "promote", chosen)
    dispatch.run(0)
    assert fresh.runs("staging") == fresh.runs("dev")
    assert dispatch.condition(1) == BEGAN
    assert dispatch.runner.outputs["began"] == "true"
    assert "Nothing stands open in staging." in dispatch.run(1).said
    assert dispatch.document["jobs"]["promote"]["environment"] == "promote-${{ inputs.target }}"


def test_what_cancels_a_job_reaches_liftlock(cloud: Cloud, tmp_path: Path) -> None:
    """A runner signals the step's process: that must be liftlock, which undoes, and not a shell that dies."""
    before = prepare(cloud)
    chosen = {"source": "dev", "target": "staging"}
    job = Job(cloud, tmp_path, "liftlock-promote.yml", "promote", chosen)
    cloud.clear_log()
    process = job.start(0)
    cloud.wait_until(lambda: being_verified(cloud) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    cloud.end(process, 130)
    assert (cloud.runs("staging"), cloud.records("staging")) == before
    assert job.runner.outputs["state"] == "interrupted"
    assert "Nothing stands open in staging." in job.run(1).said
