"""Gates, approvals, drift and time, as the program itself has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud

pytestmark = pytest.mark.e2e


def guard(cloud: Cloud, gates: str) -> None:
    cloud.configure("[environments.staging]", f"[environments.staging]\ngates = {gates}")


ALICE = {"LIFTLOCK_SANDBOX_TOKEN": "user-alice"}


def promotion(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = [i for i in cloud.intents("staging") if i["task"] == "liftlock:promotion"][-1]
    return found


@pytest.mark.promise("P8")
def test_a_promotion_waits_for_somebody_else_s_approval_of_that_plan(cloud: Cloud) -> None:
    guard(cloud, "{ approvals = 1 }")
    new = cloud.publish("ITC")
    digest = cloud.run("plan dev staging --json").document["digest"]
    assert f"liftlock approve {digest} --environment staging" in cloud.run("plan dev staging").out
    cloud.run(f"approve {digest[:12]}", code=2)
    assert "owner approves plan" in cloud.run(f"approve {digest} --expires-in 1h").out
    refused = cloud.run("promote dev staging --yes", code=3)
    assert "0 of 1 given; owner's own does not count" in refused.said
    assert digest in refused.err
    cloud.run(f"approve {'0' * 64}", variables=ALICE)
    cloud.run("promote dev staging --yes", code=3)
    assert cloud.run(f"approve {digest} --json", variables=ALICE).document["by"] == "alice"
    assert "approvals: passed; 1 of 1 given (alice)" in cloud.run("promote dev staging --yes").said
    assert cloud.images("ITC", "staging") == new


def test_required_checks_are_asked_of_every_commit(cloud: Cloud) -> None:
    guard(cloud, '{ checks = ["test"] }')
    commit = cloud.commit()
    new = cloud.publish("ITC", commit=commit)
    assert "test has not begun" in cloud.run("promote dev staging ITC --yes", code=3).said
    checks = f"/_sandbox/github/example/services/checks/{commit}"
    cloud.sandbox.request("PUT", checks, [{"name": "test", "status": "in_progress"}])
    assert "test still runs" in cloud.run("promote dev staging ITC --yes", code=3).said
    cloud.sandbox.request("PUT", checks, [{"name": "test", "conclusion": "success"}])
    cloud.run("promote dev staging ITC --yes")
    assert cloud.images("ITC", "staging") == new


def test_several_gates_are_overridden_recorded_and_told(cloud: Cloud) -> None:
    today = datetime.now(UTC).date()
    guard(cloud, f'{{ approvals = 1, freeze = ["{today} .. {today + timedelta(days=3)} UTC"] }}')
    new = cloud.publish("ITC")
    refused = cloud.run("promote dev staging --yes", code=3)
    assert "--override approvals --override freeze --reason TEXT" in refused.err
    assert "Did you mean freeze?" in cloud.run("promote dev staging --override freze --reason x", code=2).err
    cloud.run('promote dev staging --yes --override approvals --override freeze --reason "the dome is open"')
    assert cloud.images("ITC", "staging") == new
    overrides = promotion(cloud)["payload"]["liftlock"]["overrides"]
    assert overrides == dict.fromkeys(("approvals", "freeze"), "the dome is open")
    assert "freeze overridden (the dome is open)" in cloud.run("history staging").said
    assert "freeze was overridden: the dome is open" in json.dumps(cloud.sandbox.observe()["slack"])


def test_a_program_of_the_team_s_own_runs_beside_the_configuration(cloud: Cloud) -> None:
    guard(cloud, '{ command = { run = ["./may-promote", "{env}"] } }')
    program = Path(cloud.workspace.config).parent / "may-promote"
    program.write_text('#!/bin/sh\necho "asked for $1: the telescope moves"\nexit 1\n')
    program.chmod(0o755)
    cloud.publish("ITC")
    refused = cloud.run("promote dev staging --yes", code=3)
    assert (
        "command: ./may-promote staging exited with 1: asked for staging: the telescope moves" in refused.said
    )
    program.write_text("#!/bin/sh\nexit 0\n")
    cloud.run("promote dev staging --yes")


@pytest.mark.promise("P1")
def test_what_was_released_by_hand_is_shown_and_recorded(cloud: Cloud) -> None:
    image, _ = cloud.push("ITC", seed="hot fix")
    cloud.release("ITC", "staging", {"web": image})
    shown = cloud.run("status staging --check", code=5)
    assert f"drift: ITC in staging: web runs {image[7:19]}" in shown.said
    assert "liftlock record staging" in shown.said
    assert "ITC --commit SHA" in cloud.run("record staging --yes", code=1).said
    commit = cloud.commit()
    cloud.run(f"record staging ITC --commit {commit} --yes")
    cloud.run("status staging --check")
    (new,) = cloud.records("staging", "ITC")[-1:]
    assert (new["sha"], new["payload"]["docker_image_shas"]) == (commit, {"web": image})
    assert new["payload"]["liftlock"]["kind"] == "record"
    assert cloud.images("ITC", "staging") == {"web": image}
    assert len(cloud.heroku_releases("ITC", "staging")) == 2


def test_an_environment_goes_back_to_what_it_was_at_a_time(cloud: Cloud) -> None:
    old = cloud.images("ITC", "staging")
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    new = cloud.publish("ITC")
    cloud.wait_until(lambda: datetime.now(UTC).isoformat(timespec="seconds") > moment)
    cloud.run("promote dev staging --yes")
    assert cloud.images("ITC", "staging") == new
    cloud.run(f"rollback staging --to {moment} --yes")
    assert cloud.images("ITC", "staging") == old
