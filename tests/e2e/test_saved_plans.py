"""A plan is saved, reviewed and run as it stands, or refused because something has moved; and gates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud, state_of

pytestmark = pytest.mark.e2e


def save(cloud: Cloud) -> str:
    """Save a plan from dev to staging, and give the command that runs it."""
    path = cloud.folder / "plan.json"
    said = cloud.run(f"plan dev staging --out {path}").said
    assert f"liftlock promote --plan {path}" in said
    return f"promote --plan {path} --yes"


def test_a_saved_plan_runs_though_the_source_went_on(cloud: Cloud) -> None:
    pinned = cloud.publish("ITC", seed="pinned")
    run = save(cloud)
    digest = json.loads((cloud.folder / "plan.json").read_text())["digest"]
    later = cloud.publish("ITC", seed="later")
    cloud.run(run)
    assert cloud.images("ITC", "staging") == pinned != later
    assert cloud.intents("staging")[-1]["payload"]["liftlock"]["plan"] == digest
    refused = cloud.run(run, code=3)
    assert "The saved plan no longer holds" in refused.err


@pytest.mark.promise("P8")
def test_a_saved_plan_is_refused_when_the_target_moved(cloud: Cloud) -> None:
    cloud.publish("ITC", seed="pinned")
    run = save(cloud)
    image, _ = cloud.push("ITC", seed="by hand")
    cloud.release("ITC", "staging", {"web": image})
    records = cloud.deployments()
    refused = cloud.run(run, code=3)
    assert "The saved plan no longer holds" in refused.err
    assert "Plan again: liftlock plan dev staging --out FILE" in refused.err
    assert cloud.images("ITC", "staging") == {"web": image}
    assert cloud.deployments() == records


def test_a_saved_plan_is_refused_when_the_configuration_changed(cloud: Cloud) -> None:
    cloud.publish("ITC", seed="pinned")
    run = save(cloud)
    before = cloud.images("ITC", "staging")
    cloud.workspace.config.write_text("# A comment changes nothing.\n" + cloud.workspace.config.read_text())
    cloud.run(run.replace("--yes", "--dry-run"))
    cloud.configure('settle = "50ms"', 'settle = "0s"')
    assert "configuration" in cloud.run(run, code=3).err
    assert cloud.images("ITC", "staging") == before


def test_a_saved_plan_is_refused_when_its_release_was_rolled_back(cloud: Cloud) -> None:
    cloud.publish("ITC", seed="pinned")
    cloud.run("promote dev staging --yes")
    path = cloud.folder / "plan.json"
    cloud.run(f"plan staging production ITC --out {path}")
    cloud.run("rollback staging --yes")
    refused = cloud.run(f"promote --plan {path} --yes", code=3)
    assert "was rolled back in staging" in refused.err
    assert cloud.images("ITC", "production") == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"liftlock_plan": 99}', "\x00\xff"])
def test_a_file_that_is_no_plan_is_refused(shared: Cloud, content: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content.encode("latin-1"))
    assert "plan" in shared.run(f"promote --plan {path} --yes", code=2).err


def test_steps_in_a_saved_plan_are_never_run(cloud: Cloud) -> None:
    """Whoever edits them changes nothing: the plan is made again from what it pins."""
    cloud.publish("ITC", seed="pinned")
    run = save(cloud)
    path = cloud.folder / "plan.json"
    document = json.loads(path.read_text())
    document["steps"] = [s for s in document["steps"] if not s["kind"].startswith("verify")]
    path.write_text(json.dumps(document))
    cloud.run(run)
    assert state_of(cloud.records("staging", "ITC")[-1]) == "success"


@pytest.mark.parametrize(
    ("gates", "gate", "words"),
    [
        ('{ soak = "2h" }', "soak", " of 2 h"),
        ("{ approvals = 1 }", "approvals", "0 of 1 given"),
        ("{{ window = {closed} }}", "window", "closed"),
    ],
    ids=["soak", "approvals", "window"],
)
@pytest.mark.promise("P8")
def test_a_gate_refuses_and_is_overridden_with_a_reason(
    cloud: Cloud, gates: str, gate: str, words: str
) -> None:
    if gate == "window":
        opens = datetime.now(UTC) + timedelta(hours=30)
        gates = f'{{ window = "{opens:%a} 09:00-10:00 UTC" }}'
    cloud.configure("[environments.staging]", f"[environments.staging]\ngates = {gates}")
    new = cloud.publish("ITC")
    before = cloud.images("ITC", "staging")
    refused = cloud.run("promote dev staging --yes", code=3)
    assert f"{gate}: " in refused.err
    assert words in refused.said
    assert f"--override {gate} --reason" in refused.err
    assert cloud.images("ITC", "staging") == before
    cloud.run(f'promote dev staging --yes --override {gate} --reason "a fix that cannot wait"')
    assert cloud.images("ITC", "staging") == new
    overrides = cloud.intents("staging")[-1]["payload"]["liftlock"]["overrides"]
    assert overrides == {gate: "a fix that cannot wait"}
    assert "a fix that cannot wait" in cloud.run("history staging --json").out
