"""What a job at GitHub gets to see: annotations, a summary, outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud, state_of

pytestmark = pytest.mark.e2e


class Runner:
    """The files and variables that a runner gives to one step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._output, self._summary = folder / "output", folder / "summary"
        self.variables = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self._output),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            "GITHUB_SERVER_URL": "https://github.com",
        }

    @property
    def outputs(self) -> Mapping[str, str]:
        """As a runner reads them: of each name the last, up to its own delimiter."""
        text = self._output.read_text()
        return {
            m[1]: m[3] for m in re.finditer(r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)
        }

    @property
    def summary(self) -> str:
        return self._summary.read_text()


def annotated(text: str) -> list[str]:
    """As a runner reads them, their escapes undone."""
    found = re.findall(r"^::error title=([^:]*)::(.*)$", text, re.MULTILINE)
    return [
        f"{title}: {message}".replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
        for title, message in found
    ]


def test_a_promotion_leaves_a_summary_and_outputs(cloud: Cloud, tmp_path: Path) -> None:
    cloud.publish("ITC")
    runner = Runner(tmp_path / "runner")
    document = cloud.run("promote dev staging --yes --json", variables=runner.variables)
    (*_, intent) = cloud.intents("staging")
    assert document.document["promotion"].endswith(str(intent["id"]))
    assert runner.outputs == {
        "began": "true",
        "promotion": document.document["promotion"],
        "plan": document.document["plan"],
        "state": "succeeded",
        "exit-code": "0",
        "environment": "staging",
        "apps": json.dumps({"ITC": "new"}),
    }
    assert "### ✅ Promotion of observatory from dev to staging: done in" in runner.summary
    record = cloud.records("staging", "ITC")[-1]
    row = next(line for line in runner.summary.splitlines() if line.startswith("| **ITC** |"))
    assert f"https://github.com/example/services/commit/{record['sha']}" in row
    assert "runs the new" in row
    assert "Unchanged: SSO" in runner.summary
    assert annotated(document.err) == []


def test_backups_are_in_the_summary(fresh: Cloud, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner")
    fresh.run("promote dev staging --yes", variables=runner.variables)
    (backup,) = fresh.backups("ODB", "staging")
    assert re.search(rf"^\| `b0*{backup['num']}` \| ODB \| [\d.]+ \w+ \|", runner.summary, re.MULTILINE)


def test_a_failure_is_annotated_and_says_what_next(cloud: Cloud, tmp_path: Path) -> None:
    cloud.publish("SSO", behaviour="crash")
    runner = Runner(tmp_path / "runner")
    ran = cloud.run("promote dev staging --yes", 1, variables=runner.variables)
    (annotation,) = annotated(ran.err)
    assert annotation.startswith("promotion from dev to staging: failed: verify SSO: ")
    assert "\n" in annotation, "with the app's last lines"
    assert runner.outputs["state"] == "failed"
    assert runner.outputs["exit-code"] == "1"
    assert json.loads(runner.outputs["apps"])["SSO"] == "old"
    assert "### ❌ Promotion of observatory from dev to staging: failed after" in runner.summary
    assert "**Next:** staging runs what it ran before" in runner.summary


def test_what_was_killed_has_said_that_it_began(cloud: Cloud, tmp_path: Path) -> None:
    cloud.publish("ITC")
    fault = cloud.fault(action="hang", vendor="heroku", method="PATCH", path="/apps/.*/formation")
    runner = Runner(tmp_path / "runner")
    process = cloud.start("promote dev staging --yes", variables=runner.variables)
    cloud.wait_until(lambda: cloud.fault_applied(fault))
    process.kill()
    process.communicate()
    (*_, intent) = cloud.intents("staging")
    assert state_of(intent) in {None, "in_progress"}
    assert runner.outputs["began"] == "true"
    assert runner.outputs["promotion"].endswith(str(intent["id"]))
    assert "state" not in runner.outputs


def test_a_refusal_shows_the_plan_and_began_nothing(cloud: Cloud, tmp_path: Path) -> None:
    cloud.publish("ITC")
    cloud.configure('from = ["dev"]\n', 'from = ["dev"]\ngates = { soak = "2h" }\n')
    runner = Runner(tmp_path / "runner")
    ran = cloud.run("promote dev staging --yes", 3, variables=runner.variables)
    (annotation,) = annotated(ran.err)
    assert annotation.startswith("liftlock promote dev staging: staging was not changed: a gate refused.\n")
    assert "began" not in runner.outputs
    assert (runner.outputs["state"], runner.outputs["exit-code"]) == ("refused", "3")
    assert "| **ITC** | release |" in runner.summary
    assert "**Next:** Wait or mend it." in runner.summary


def test_nothing_to_do_and_nothing_to_resume_are_unchanged(cloud: Cloud, tmp_path: Path) -> None:
    for number, command in enumerate(("promote dev staging --yes", "resume staging --yes")):
        runner = Runner(tmp_path / f"runner {number}")
        cloud.run(command, variables=runner.variables)
        assert runner.outputs["state"] == "unchanged"
        assert "began" not in runner.outputs


def test_a_mistake_on_the_command_line_is_annotated(cloud: Cloud, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner")
    ran = cloud.run("promote dev stagin --yes", 2, variables=runner.variables)
    assert annotated(ran.err)[0].startswith("liftlock promote dev stagin: There is no environment 'stagin'")


def test_nowhere_else_is_anything_written(cloud: Cloud, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "runner")
    ran = cloud.run("promote dev stagin", 2, variables={**runner.variables, "GITHUB_ACTIONS": ""})
    assert "::error" not in ran.err
    cloud.run("promote dev staging --yes", variables={**runner.variables, "GITHUB_ACTIONS": ""})
    assert list((tmp_path / "runner").iterdir()) == []


def test_a_reviewer_of_the_job_counts_as_an_approval(cloud: Cloud, tmp_path: Path) -> None:
    """Whoever started the run does not, nor does anybody once it was started again."""
    cloud.publish("ITC")
    cloud.configure('from = ["dev"]\n', 'from = ["dev"]\ngates = { approvals = 1 }\n')
    runner = Runner(tmp_path / "runner")
    place = {"GITHUB_REPOSITORY": "example/services", "GITHUB_RUN_ID": "7"}
    job = {**runner.variables, **place, "LIFTLOCK_SANDBOX_TOKEN": "user-app"}

    def reviewed(by: str, attempt: int = 1) -> None:
        reviews = [{"user": by, "environments": ["promote-staging"]}]
        run = {"actor": "alice", "attempt": attempt, "reviews": reviews}
        cloud.sandbox.request("PUT", "/_sandbox/github/example/services/runs/7", run)

    unknown = cloud.run("promote dev staging --yes", 3, variables=job)
    assert "approvals: 0 of 1 known to be given" in unknown.said
    reviewed("alice")
    assert "alice's own does not count" in cloud.run("promote dev staging --yes", 3, variables=job).said
    reviewed("bob", attempt=2)
    assert "it was started again" in cloud.run("promote dev staging --yes", 3, variables=job).said
    reviewed("bob")
    assert (
        "the token is owner's"
        in cloud.run(
            "promote dev staging --yes", 3, variables={**job, "LIFTLOCK_SANDBOX_TOKEN": "owner"}
        ).said
    )
    elsewhere = cloud.run("promote dev staging --yes", 3, variables={"LIFTLOCK_SANDBOX_TOKEN": "user-app"})
    assert "0 of 1 given" in elsewhere.said
    done = cloud.run("promote dev staging --yes -v", variables=job)
    assert "1 of 1 given (bob, who reviewed this run)" in done.said
    assert runner.outputs["state"] == "succeeded"
