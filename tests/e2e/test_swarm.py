"""The installed program, a real one-node swarm, a real registry, real PostgreSQL: what a team sees and relies on.

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

from liftlock.postgresql.address import Address
from tests.postgresql import ledger_of, made_database
from tests.registry.cncf import NoRegistry
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.house import SERVICES, House, make_house
from tests.swarm.real import BUSYBOX, in_swarm

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, program: Path, server: Address) -> Iterator[House]:
    """Nothing is deployed yet."""
    if not BUSYBOX.exists():
        pytest.skip("the tests' images are made of /bin/busybox (apt-get install busybox-static)")
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(own_engine())
            stack.enter_context(in_swarm(engine.host))
            database = ledger_of(made_database(server))
            yield make_house(tmp_path_factory.mktemp("house"), program, engine, database, stack)
        except (NoEngine, NoRegistry) as reason:
            pytest.skip(str(reason))


def states(house: House, environment: str) -> dict[str, str]:
    """By app, the commit that is recorded and runs."""
    cells = house.read(f"status {environment}")["environments"][environment]
    return {app: cell["recorded"]["commit"] for app, cell in cells.items()}


def event(process: subprocess.Popen[str], kind: str, step: str) -> None:
    """Read on until the program tells this."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            told = json.loads(line)
            if told.get("event") == kind and told.get("step") == step:
                return
    raise AssertionError(f"it never told {kind} of {step}")


def test_the_first_deploy_makes_the_services_and_two_promotions_follow(house: House) -> None:
    house.build("v1")
    house.run("deploy --yes")
    assert house.spec("observatory-dev_sso")["Labels"]["io.liftlock.app"] == "SSO"
    house.run("promote dev staging --yes")
    house.run("promote staging production --yes")
    house.run("status --check")
    for environment in ("staging", "production"):
        for service in SERVICES:
            image = house.spec(f"observatory-{environment}_{service}")["TaskTemplate"]["ContainerSpec"][
                "Image"
            ]
            assert "@sha256:" in image
    assert house.read("backups list staging")["backups"]
    assert house.migrations() == ["odb v1"] * 3


@pytest.mark.promise("P4")
def test_a_client_sees_no_failure_while_a_healthy_release_is_promoted_and_rolled_back(house: House) -> None:
    house.build("v2")
    house.run("deploy --yes")
    house.front()
    with house.load() as load:
        house.run("promote dev staging --yes")
        assert house.ask() == "sso v2"
        house.run("rollback staging --yes")
        assert house.ask() == "sso v1"
    assert not load.failures
    assert set(load.answers) == {"sso v1", "sso v2"}


@pytest.mark.promise("P4")
def test_a_release_that_crashes_is_taken_back_and_its_log_shown(house: House) -> None:
    before = house.specs("dev")
    house.build("v3", {"sso": "crash"})
    said = house.run("deploy --yes", code=1)
    assert "this image crashes at start" in said
    assert house.specs("dev") == before
    house.run("status dev --check")


def test_a_health_check_that_never_passes_is_told_and_taken_back(house: House) -> None:
    before = house.specs("dev")
    house.build("v4", {"itc": "unhealthy"})
    said = house.run("deploy --yes", code=1)
    assert "health" in said
    assert house.specs("dev") == before


def test_a_migration_that_fails_stops_its_app_and_puts_the_others_back(house: House) -> None:
    before = house.specs("dev")
    house.build("v5", {"odb": "release-fails"})
    said = house.run("deploy --yes", code=1)
    assert "the migration fails" in said
    assert house.specs("dev") == before


@pytest.mark.promise("P5")
def test_a_promotion_that_was_killed_is_resumed_and_no_migration_runs_twice(house: House) -> None:
    house.build("v6")
    house.run("deploy --yes")
    before = len(house.migrations())
    with house.running("promote dev staging --yes") as process:
        event(process, "step-finished", "release:ODB")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert "resume" in house.run("promote dev staging --yes", code=4)
    house.run("resume staging --finish --yes")
    house.run("status staging --check")
    assert house.migrations()[before:] == ["odb v6"]
    assert house.ask() == "sso v6"


@pytest.mark.promise("P4")
def test_a_registry_that_is_down_stops_a_promotion_before_anything_changes(house: House) -> None:
    before = house.specs("production")
    house.close_registry()
    try:
        said = house.run("promote staging production --yes", code=1)
    finally:
        house.open_registry()
    assert "127.0.0.1" in said
    assert house.specs("production") == before
    house.run("promote staging production --yes")
    house.run("status --check")
