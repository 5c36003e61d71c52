"""Two promotions never change one environment at once, and one that was killed is finished once."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.cloud import Cloud, state_of

pytestmark = pytest.mark.e2e


@pytest.mark.promise("P3")
@pytest.mark.promise("P8")
def test_a_second_promotion_is_told_who_holds_the_environment(cloud: Cloud) -> None:
    new = cloud.publish("SSO")
    cloud.settings(backup_s=4)
    cloud.clear_log()
    first = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: cloud.requests("POST", "/backups$"))
    second = cloud.run("promote dev staging --yes", code=4, variables={"LIFTLOCK_SANDBOX_TOKEN": "user-mira"})
    assert "owner" in second.err
    assert "staging" in second.err
    assert "since" in second.err
    assert "--wait" in second.err
    cloud.end(first, 0)
    assert cloud.images("SSO", "staging") == new
    assert len(cloud.requests("PATCH", "/formation$")) == 1
    assert len(cloud.requests("POST", "/backups$")) == 1


@pytest.mark.promise("P3")
def test_one_that_waits_finds_nothing_left_to_do(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.settings(backup_s=1.5)
    cloud.clear_log()
    first = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: cloud.requests("POST", "/backups$"))
    second = cloud.start("promote dev staging --yes --wait 60s")
    cloud.end(first, 0)
    cloud.end(second, 0)
    assert len(cloud.requests("PATCH", "/formation$")) == 1
    assert len(cloud.backups("SSO", "staging")) == 2


@pytest.mark.promise("P3")
def test_of_four_that_begin_at_once_one_does_it(cloud: Cloud) -> None:
    new = cloud.publish("ITC")
    cloud.clear_log()
    processes = [cloud.start("promote dev staging --yes") for _ in range(4)]
    for process in processes:
        process.wait(60)
    codes = sorted(process.returncode for process in processes)
    told = [process.communicate() for process in processes]
    assert codes[0] == 0, told
    assert set(codes) <= {0, 4}, told
    assert cloud.images("ITC", "staging") == new
    assert len(cloud.requests("PATCH", "/formation$")) == 1
    assert len(cloud.records("staging", "ITC")) == 2


@pytest.mark.promise("P5")
@pytest.mark.parametrize("choice", ["finish", "undo"])
def test_one_that_was_killed_is_finished_or_undone(cloud: Cloud, choice: str) -> None:
    before = cloud.runs("staging"), cloud.records("staging")
    new = {app: cloud.publish(app) for app in ("SSO", "ODB")}
    cloud.settings(release_s=1.0)
    cloud.clear_log()
    process = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: cloud.requests("PATCH", "/formation$"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert state_of(cloud.intents("staging")[-1]) in (None, "in_progress")

    cloud.run('lease break staging --reason "its machine is gone"')
    cloud.run(f"resume staging --{choice} --yes")
    if choice == "undo":
        assert (cloud.runs("staging"), cloud.records("staging")) == before
        assert state_of(cloud.intents("staging")[-1]) == "failure"
        return
    for app, images in new.items():
        assert cloud.images(app, "staging") == images
        assert len(cloud.requests("PATCH", f"{app.lower()}-staging/formation$")) == 1
        assert len(cloud.backups(app, "staging")) == 2
        record = cloud.records("staging", app)[-1]
        assert record["payload"]["docker_image_shas"] == images
        assert state_of(record) == "success"
    assert state_of(cloud.intents("staging")[-1]) == "success"
