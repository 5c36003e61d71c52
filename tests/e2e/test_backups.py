"""The databases' backups, from the command line: listed, restored, and taken back with the code."""

from __future__ import annotations

import pytest

from tests.e2e.cloud import Cloud, heroku

pytestmark = pytest.mark.e2e


def apps_in_maintenance(cloud: Cloud, environment: str) -> list[bool]:
    seen = cloud.requests("PATCH", f"^/apps/{heroku('ODB', environment)}$")
    return [entry["body"]["maintenance"] for entry in seen]


def test_rollback_takes_the_databases_back_after_the_code(cloud: Cloud) -> None:
    before = cloud.images("ODB", "staging")
    cloud.publish("ODB")
    cloud.run("promote dev staging --yes")
    assert cloud.images("ODB", "staging") != before
    (named,) = cloud.records("staging", "ODB")[-1]["payload"]["liftlock"]["backups"]
    cloud.clear_log()

    said = cloud.run("rollback staging --restore-database --yes", 2).said
    assert "--confirm staging" in said
    assert cloud.requests("PATCH") == []

    said = cloud.run("rollback staging --restore-database --yes --confirm staging").said
    assert f"Restores the database of ODB in staging from {named['id']}" in said
    assert cloud.images("ODB", "staging") == before
    assert len(cloud.requests("POST", "/restores$")) == 1
    assert apps_in_maintenance(cloud, "staging") == [True, False]
    (restore,) = cloud.requests("POST", "/restores$")
    switches = cloud.requests("PATCH", f"^/apps/{heroku('ODB', 'staging')}/formation")
    assert max(entry["n"] for entry in switches) < restore["n"], "the code goes back first"
    taken = [entry for entry in cloud.requests("POST", "/git/refs$") if entry["status"] == 201]
    assert len(taken) == 1, "one lease over both: nobody comes between"


def test_rollback_whose_backup_is_gone_changes_nothing(cloud: Cloud) -> None:
    cloud.publish("ODB")
    cloud.run("promote dev staging --yes")
    runs = cloud.images("ODB", "staging")
    transfers = f"/client/v11/apps/{heroku('ODB', 'staging')}/transfers"
    for number in (1, 2):
        cloud.sandbox.request("DELETE", f"{transfers}/{number}")
    cloud.clear_log()
    said = cloud.run("rollback staging --restore-database --yes --confirm staging", 1).said
    assert "took before it released, is no longer listed" in said
    assert "Nothing was changed." in said
    assert cloud.images("ODB", "staging") == runs
    assert cloud.requests("PATCH") == []


def test_backups_are_captured_listed_restored_and_pruned(cloud: Cloud) -> None:
    assert "b002 of the database of ODB in staging" in cloud.run("backups capture staging").said
    listed = cloud.run("backups list staging ODB --json").document["backups"]
    assert [one["id"] for one in listed] == ["b002", "b001"]
    assert cloud.run("backups list staging").said.count("ODB") == 2

    cloud.run("backups restore staging ODB b001", 2)
    cloud.run("backups restore staging ODB b099 --confirm staging", 1)
    said = cloud.run("backups restore staging ODB b001 --confirm staging").said
    assert "What stood before is b003" in said
    assert apps_in_maintenance(cloud, "staging") == [True, False]

    said = cloud.run("backups prune staging --keep 1 --yes").said
    assert "older ones stay, since records name them" in said
    listed = cloud.run("backups list staging ODB --json").document["backups"]
    assert [one["id"] for one in listed] == ["b003", "b001"]


def test_names_that_are_not_there_are_told(cloud: Cloud) -> None:
    assert "There is no environment 'stagin'" in cloud.run("backups list stagin", 2).said
    assert "There is no app 'OBD'" in cloud.run("backups list staging OBD", 2).said
    assert "No database of" in cloud.run("backups list staging ITC", 2).said
    assert "has no database that liftlock knows of" in cloud.run("backups list staging Explore", 2).said
