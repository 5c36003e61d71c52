"""The installed program and the reference project on a real one-node swarm: what a team sees and relies on.

Told in one order on one swarm: each test begins where the one before has ended.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from liftlock.demo import materials
from liftlock.postgresql.address import Address
from tests.registry.cncf import NoRegistry
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.house import ENVIRONMENTS, House, open_house

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(400)]

NOWHERE = "SET_NOWHERE"
"""A setting that no environment has."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, program: Path, server: Address) -> Iterator[House]:
    """Nothing is deployed yet."""
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(own_engine())
            folder = tmp_path_factory.mktemp("house")
            house = stack.enter_context(open_house(folder, program, engine, server))
        except (NoEngine, NoRegistry) as reason:
            pytest.skip(str(reason))
        yield house


def event(process: subprocess.Popen[str], kind: str, step: str) -> None:
    """Read on until the program tells this."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            told = json.loads(line)
            if told.get("event") == kind and told.get("step") == step:
                return
    raise AssertionError(f"it never told {kind} of {step}")


@pytest.mark.promise("P2")
@pytest.mark.promise("P6")
def test_the_reference_project_is_deployed_promoted_twice_with_backups_and_rolled_back(house: House) -> None:
    house.deploy()
    house.run("promote dev staging --yes")
    house.run("promote staging production --yes")
    house.run("status --check")
    first = house.images("dev")
    for environment in ENVIRONMENTS:
        assert house.images(environment) == first
        assert all(digest.startswith("sha256:") for digest in first.values())
        assert house.schema(environment) == "0002_calculations"
        assert "Explore 1.18.0" in house.shown("Explore", environment)
        assert house.shown("AdminUI", environment)

    materials.add_priority(house.workspace)
    house.deploy("services", "explore")
    assert house.schema("dev") == "0003_priority"
    assert house.schema("staging") == "0002_calculations"
    house.run("promote dev staging --yes")
    house.run("promote staging production --yes")
    house.run("status --check")
    second = house.images("production")
    assert {name for name in first if first[name] != second[name]} == {"odb", "odb-migrate"}
    assert house.schema("production") == "0003_priority"
    assert "Explore 1.19.0" in house.shown("Explore", "production")
    backups = house.run("backups list production --json").document["backups"]
    # The second time SSO is as it was, and owes none.
    assert sorted(app for backup in backups for app in backup["apps"]) == ["ODB", "ODB", "SSO"]

    house.run("rollback production --yes")
    house.run("status --check")
    assert house.images("production") == first
    assert house.images("staging") == second
    assert "Explore 1.18.0" in house.shown("Explore", "production")
    assert house.schema("production") == "0003_priority", "code goes back, a schema does not"
    # A rollback is a release like any other: the older release's own migration runs, and finds nothing to do.
    assert [house.migrations(environment) for environment in ENVIRONMENTS] == [2, 2, 3]


@pytest.mark.promise("P4")
def test_a_client_sees_no_failure_while_a_healthy_release_is_promoted_and_rolled_back(house: House) -> None:
    materials.change_one_app(house.workspace, "SSO", "2.7.1")
    house.deploy("services")
    house.front()
    with house.load() as load:
        house.run("promote dev staging --yes")
        assert house.ask() == "SSO 2.7.1"
        house.run("rollback staging --yes")
        assert house.ask() == "SSO 2.7.0"
    assert not load.failures
    assert set(load.answers) == {"SSO 2.7.0", "SSO 2.7.1"}


@pytest.mark.promise("P4")
def test_a_release_that_crashes_is_taken_back_and_its_log_shown(house: House) -> None:
    before = house.specs("dev")
    materials.need_detector_set(house.workspace, NOWHERE)
    said = refused(house)
    assert f"KeyError: '{NOWHERE}'" in said
    assert house.specs("dev") == before
    house.run("status dev --check")


def test_a_health_check_that_never_passes_is_told_and_taken_back(house: House) -> None:
    before = house.specs("dev")
    materials.need_weather_station(house.workspace, NOWHERE)
    assert "health" in refused(house)
    assert house.specs("dev") == before


@pytest.mark.promise("P4")
def test_a_migration_that_fails_stops_its_app_and_puts_the_others_back(house: House) -> None:
    before, schema = house.specs("dev"), house.schema("dev")
    house.asked(
        "dev",
        "INSERT INTO observations (program_id, title, instrument, magnitude)"
        " SELECT program_id, title, instrument, magnitude FROM observations ORDER BY id LIMIT 1",
    )
    materials.change_one_app(house.workspace, "RESOURCE", "1.1.1")
    materials.require_distinct_titles(house.workspace)
    said = refused(house, commits=2)
    assert "0004_distinct_titles.sql failed and was rolled back" in said
    assert house.specs("dev") == before
    assert house.schema("dev") == schema
    house.run("status dev --check")


def refused(house: House, commits: int = 1) -> str:
    """What a deploy of the last change says that fails; the change is taken back."""
    house.publish()
    said = house.run("deploy --yes", code=1).said
    house.revert(house.workspace.services, commits)
    return said


@pytest.mark.promise("P5")
def test_a_promotion_that_was_killed_is_resumed_and_no_migration_runs_twice(house: House) -> None:
    materials.change_one_app(house.workspace, "ODB", "4.4.1")
    house.deploy("services")
    before = house.migrations("staging")
    with house.running("promote dev staging --yes") as process:
        event(process, "step-finished", "release:ODB")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    house.run('lease break staging --reason "it was killed"')
    assert "resume" in house.run("promote dev staging --yes", code=4).said
    house.run("resume staging --finish --yes")
    house.run("status staging --check")
    assert house.migrations("staging") == before + 1
    assert house.images("staging") == house.images("dev")


@pytest.mark.promise("P1")
@pytest.mark.promise("P5")
def test_an_engine_that_is_restarted_in_the_middle_leaves_all_new_or_all_old(house: House) -> None:
    """The engine counts the tasks that its own end has killed: it may pause the update that they were part of."""
    materials.change_one_app(house.workspace, "SSO", "2.7.2")
    materials.change_one_app(house.workspace, "ODB", "4.4.2")
    house.deploy("services")
    old, new = house.images("staging"), house.images("dev")
    records = house.cloud.records("staging")
    with house.running("promote dev staging --yes") as process:
        event(process, "step-finished", "release:SSO")
        house.engine.restart()
        out, err = process.communicate(timeout=170)
    said = out + err
    assert process.returncode in {0, 1}, said
    if process.returncode == 0:
        assert house.images("staging") == new, said
    else:
        assert house.images("staging") == old, said
        assert len(house.cloud.records("staging")) == len(records), (
            "nothing is recorded that did not come to run"
        )
        assert "staging runs what it ran before" in " ".join(said.split())
        house.run("promote dev staging --yes")
    house.run("status staging --check")
    assert house.images("staging") == new
    house.run("promote dev staging --yes")


@pytest.mark.promise("P4")
def test_a_registry_that_is_down_stops_a_promotion_before_anything_changes(house: House) -> None:
    before = house.specs("production")
    house.close_registry()
    try:
        said = house.run("promote staging production --yes", code=1).said
    finally:
        house.open_registry()
    assert "127.0.0.1" in said
    assert house.specs("production") == before
    house.run("promote staging production --yes")
    house.run("status --check")
