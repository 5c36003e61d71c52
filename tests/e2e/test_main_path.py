"""From dev through staging to production and back, and what a promotion leaves behind."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.e2e.cloud import ALL, HEROKU, SITES, Cloud, heroku, state_of

pytestmark = pytest.mark.e2e


@pytest.mark.promise("P4")
@pytest.mark.promise("P6")
def test_a_release_goes_from_dev_to_production_and_back(fresh: Cloud) -> None:
    first = fresh.runs("dev")
    told = len(fresh.slack())
    fresh.run("promote dev staging --yes")
    said = fresh.run("promote staging production --yes").said
    assert "Promotion of observatory from staging to production: done in" in said
    assert fresh.runs("staging") == fresh.runs("production") == first
    for app in ALL:
        (record,) = fresh.records("production", app)
        assert state_of(record) == "success"
    assert len(fresh.slack()) == told + 2

    new = {app: fresh.publish(app) for app in ("SSO", "ODB")}
    fresh.run("promote dev production --yes")
    assert {app: fresh.images(app, "production") for app in new} == new
    assert fresh.images("ITC", "production") == first["ITC"]
    assert len(fresh.backups("ODB", "production")) == 2

    said = fresh.run("rollback production --yes").said
    assert "Rollback of observatory in production: done in" in said
    assert fresh.runs("production") == first
    assert fresh.runs("staging") == first
    for app, images in new.items():
        assert fresh.images(app, "dev") == images
        assert fresh.records("production", app)[-1]["payload"]["docker_image_shas"] == first[app]


@pytest.mark.promise("P1")
@pytest.mark.promise("P6")
def test_straight_to_production(cloud: Cloud) -> None:
    new = cloud.publish("ITC")
    cloud.run("promote dev production --yes")
    assert cloud.runs("production") == cloud.runs("dev")
    assert cloud.images("ITC", "staging") != new
    up = cloud.up("ITC", "production")
    assert up == {"web.1": new["web"]}
    (record,) = cloud.records("production", "ITC")
    assert record["payload"]["docker_image_shas"] == new
    assert record["payload"]["liftlock"]["source"]["environment"] == "dev"
    (intent,) = cloud.intents("production")
    assert (intent["task"], state_of(intent)) == ("liftlock:promotion", "success")
    assert intent["id"] < min(r["id"] for r in cloud.records("production")), "the intent comes first"


@pytest.mark.promise("P2")
def test_every_backup_is_complete_before_anything_is_released(cloud: Cloud) -> None:
    cloud.settings(backup_s=0.5)
    for app in ("SSO", "ITC", "ODB"):
        cloud.publish(app)
    cloud.publish_site("Explore")
    cloud.record("Explore", "dev", {})
    cloud.clear_log()
    cloud.run("promote dev staging --yes")
    log = cloud.requests()
    switches = [one["n"] for one in log if one["method"] == "PATCH" and one["path"].endswith("/formation")]
    switches += [one["n"] for one in log if one["method"] == "POST" and "/releases?" in one["path"]]
    looks = [one["n"] for one in log if one["method"] == "GET" and "/transfers/" in one["path"]]
    assert len(switches) == 4
    assert max(looks) < min(switches), "a backup was still being followed when a release began"
    for app in ("SSO", "ODB"):
        newest = cloud.backups(app, "staging")[-1]
        (kept,) = cloud.records("staging", app)[-1]["payload"]["liftlock"]["backups"]
        assert kept["size"] == newest["processed_bytes"] > 0
        assert kept["id"] == f"b{newest['num']:03}"
        assert kept["finished"][:19] == newest["finished_at"][:19]


def test_no_change_changes_nothing(cloud: Cloud) -> None:
    before = cloud.runs("staging"), cloud.deployments(), cloud.slack()
    cloud.clear_log()
    ran = cloud.run("promote dev staging --yes")
    assert "Nothing to do: staging runs all of it already." in ran.said
    assert (cloud.runs("staging"), cloud.deployments(), cloud.slack()) == before
    changing = [one for one in cloud.requests() if one["method"] not in {"GET", "HEAD"}]
    assert [one for one in changing if not _looks_or_leases(one["path"])] == []


def _looks_or_leases(path: str) -> bool:
    return path.endswith("/resolve") or "/git/" in path


def test_all_process_types_go_in_one_call(cloud: Cloud) -> None:
    new = cloud.publish("ODB")
    cloud.clear_log()
    cloud.run("promote dev staging --yes")
    (switch,) = cloud.requests("PATCH", "/formation$")
    assert {u["type"]: u["docker_image"] for u in switch["body"]["updates"]} == new


@pytest.mark.promise("P6")
def test_a_rebuilt_image_at_the_same_commit_is_a_change(cloud: Cloud) -> None:
    commit = cloud.records("dev", "ITC")[-1]["sha"]
    new = cloud.publish("ITC", seed="rebuilt", commit=commit)
    said = cloud.run("promote dev staging --yes").said
    assert "rebuilt at the same commit" in said
    assert cloud.images("ITC", "staging") == new
    assert cloud.records("staging", "ITC")[-1]["sha"] == commit


@pytest.mark.promise("P6")
def test_the_same_image_at_another_commit_only_moves_the_record(cloud: Cloud) -> None:
    images, commit = cloud.images("ITC", "dev"), cloud.commit()
    cloud.record("ITC", "dev", {"docker_image_shas": images}, commit=commit)
    cloud.clear_log()
    said = cloud.run("promote dev staging --yes").said
    assert "only the record moves" in said
    assert cloud.requests("PATCH", "/formation$") == []
    record = cloud.records("staging", "ITC")[-1]
    assert (record["sha"], record["payload"]["docker_image_shas"]) == (commit, images)
    assert state_of(record) == "success"


def test_a_subset_says_what_is_left_behind(cloud: Cloud) -> None:
    before = cloud.images("ITC", "staging")
    new = cloud.publish("SSO")
    cloud.publish("ITC")
    said = cloud.run("promote dev staging SSO --yes").said
    assert "left behind, since not selected: ITC" in said
    assert cloud.images("SSO", "staging") == new
    assert cloud.images("ITC", "staging") == before
    assert len(cloud.records("staging", "ITC")) == 1


def test_the_order_is_that_of_after(cloud: Cloud) -> None:
    for app in ("SSO", "ODB"):
        cloud.publish(app)
    cloud.clear_log()
    cloud.run("promote dev staging --yes")
    switches = [one["path"].split("/")[2] for one in cloud.requests("PATCH", "/formation$")]
    assert switches == [heroku("SSO", "staging"), heroku("ODB", "staging")]


def test_slack_gets_exactly_one_message(cloud: Cloud) -> None:
    told = len(cloud.slack())
    cloud.publish("SSO")
    cloud.publish("ITC")
    cloud.run("promote dev staging --yes")
    (message,) = cloud.slack()[told:]
    assert "observatory: promotion from dev to staging: succeeded" in message
    assert "SSO" in message
    assert "ITC" in message


def test_slack_that_fails_fails_nothing_and_is_said(cloud: Cloud) -> None:
    cloud.fault(vendor="slack", action="status", status=500)
    new = cloud.publish("ITC")
    said = cloud.run("promote dev staging --yes").said
    assert "slack was not told" in said
    assert cloud.images("ITC", "staging") == new
    assert state_of(cloud.records("staging", "ITC")[-1]) == "success"


def test_todays_scripts_read_what_liftlock_records(cloud: Cloud) -> None:
    """The shell script asks GitHub for the newest record and takes its image ids with jq."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    path = "/repos/example/services/deployments?task=deploy:ODB&environment=staging&per_page=1"
    answer = json.dumps(cloud.sandbox.request("GET", path))
    for process, image in cloud.images("ODB", "staging").items():
        wanted = f'.[0].payload.docker_image_shas.{process} // "none"'
        done = subprocess.run(["jq", "-r", wanted], input=answer, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == image


def test_names_of_records_are_those_of_the_teams(cloud: Cloud) -> None:
    named = {(one["task"], one["environment"]) for one in cloud.deployments()}
    for app in (*HEROKU, "Explore", "preferences"):
        assert (f"deploy:{app}", "development") in named
        assert (f"deploy:{app}", "staging") in named
    for app in ("ResourceUI", "AdminUI"):
        assert ("deploy", f"{SITES[app]}-staging") in named
