"""What fails leaves everything as it was, and says what happened, where, why and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cloud import Cloud, heroku, state_of

pytestmark = pytest.mark.e2e


def world(cloud: Cloud) -> tuple[Any, ...]:
    """What must be as before after a failure: what runs, and the apps' own records."""
    return cloud.runs("staging"), cloud.records("staging")


@pytest.mark.promise("P1")
@pytest.mark.promise("P4")
def test_a_process_that_crashes_at_start_is_put_back(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.publish("ITC", behaviour="crash")
    before = world(cloud)
    ran = cloud.run("promote dev staging --yes", code=1)
    assert "verify ITC" in ran.said
    assert "staging runs what it ran before" in ran.said
    assert world(cloud) == before
    assert cloud.up("SSO", "staging") == {"web.1": before[0]["SSO"]["web"]}
    assert cloud.up("ITC", "staging") == {"web.1": before[0]["ITC"]["web"]}
    intent = cloud.intents("staging")[-1]
    assert state_of(intent) == "failure"
    assert "failed" in cloud.slack()[-1]
    assert "ITC" in cloud.slack()[-1]


@pytest.mark.promise("P1")
def test_a_web_that_is_not_healthy_is_put_back(cloud: Cloud) -> None:
    cloud.publish("RESOURCE", behaviour="unhealthy")
    before = world(cloud)
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "RESOURCE" in said
    assert "/health" in said
    assert "500" in said
    assert world(cloud) == before


@pytest.mark.promise("P4")
@pytest.mark.parametrize("recorded", ["image ids", "manifests"])
def test_where_heroku_names_no_images_an_app_goes_back_to_another_tools_record(
    cloud: Cloud, recorded: str
) -> None:
    pushed = cloud.push("SSO", seed="by hand")
    cloud.release("SSO", "staging", {"web": pushed[0]})
    named = pushed[0] if recorded == "image ids" else pushed[1]
    cloud.record("SSO", "staging", {"docker_image_shas": {"web": named}})
    cloud.publish("SSO", behaviour="crash")
    cloud.settings(formation_images=False)
    ran = cloud.run("promote dev staging SSO --yes", code=1)
    assert "staging runs what it ran before" in ran.said
    assert cloud.up("SSO", "staging") == {"web.1": pushed[0]}


@pytest.mark.promise("P4")
def test_a_release_phase_that_fails_puts_its_neighbours_back(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.publish("ODB", behaviour="release-fails")
    before = world(cloud)
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "switch ODB" in said
    assert world(cloud) == before
    assert cloud.up("ODB", "staging").keys() == {"web.1", "calibration.1", "obscalc.1"}


@pytest.mark.promise("P8")
def test_past_the_point_of_no_return_a_person_is_asked(cloud: Cloud) -> None:
    cloud.configure('undo = "safe" ', 'undo = "never"')
    new = cloud.publish("ODB", behaviour="crash")
    records = cloud.records("staging")
    said = cloud.run("promote dev staging --yes", code=6).said
    assert "neither all-old nor all-new" in said
    assert "schema" in said
    assert f"b{cloud.backups('ODB', 'staging')[-1]['num']:03}" in said
    assert new["web"][7:19] in said
    assert cloud.images("ODB", "staging") == new
    assert cloud.records("staging") == records
    assert state_of(cloud.intents("staging")[-1]) == "error"


def test_on_failure_stop_leaves_it_standing(cloud: Cloud) -> None:
    new = cloud.publish("ITC", behaviour="crash")
    said = cloud.run("promote dev staging --yes --on-failure stop", code=6).said
    assert "Nothing was put back, as --on-failure stop asks" in said
    assert cloud.images("ITC", "staging") == new


@pytest.mark.promise("P2")
def test_a_backup_that_fails_stops_every_release(cloud: Cloud) -> None:
    for app in ("SSO", "ITC", "ODB"):
        cloud.publish(app)
    cloud.publish_site("Explore")
    cloud.record("Explore", "dev", {})
    before = world(cloud)
    path = f"/_sandbox/heroku/apps/{heroku('ODB', 'staging')}"
    cloud.sandbox.request("PUT", path, {"fail_backups": True})
    cloud.clear_log()
    said = cloud.run("promote dev staging --yes", code=1).said
    assert cloud.requests("PATCH", "/formation") == []
    assert cloud.requests("POST", "/releases") == []
    assert cloud.requests("POST", "/backups$"), "it was tried"
    assert "backup" in said
    assert "ODB" in said
    assert world(cloud) == before
    assert state_of(cloud.intents("staging")[-1]) == "failure"


@pytest.mark.promise("P1")
def test_a_heroku_500_that_persists_is_never_recorded_as_deployed(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.publish("ITC")
    before = world(cloud)
    rule = cloud.fault(
        vendor="heroku", method="PATCH", path="itc-staging/formation", action="status", status=500
    )
    said = cloud.run("promote dev staging --yes", code=1).said
    assert cloud.fault_applied(rule) >= 1
    assert "Heroku" in said
    assert "500" in said
    assert "/apps/itc-staging/formation" in said
    assert world(cloud) == before
    assert state_of(cloud.intents("staging")[-1]) == "failure"


def test_the_first_release_ever_is_undone_by_removing_it(cloud: Cloud) -> None:
    cloud.publish("ITC", behaviour="crash")
    cloud.run("promote dev production ITC Explore --yes", code=1)
    assert cloud.up("ITC", "production") == {}
    assert cloud.records("production") == []


@pytest.mark.promise("P5")
def test_after_the_cause_is_mended_the_same_command_succeeds(cloud: Cloud) -> None:
    new = cloud.publish("SSO")
    rule = {"vendor": "heroku", "method": "PATCH", "path": "sso-staging/formation"}
    cloud.fault(**rule, action="status", status=503)
    cloud.run("promote dev staging --yes", code=1)
    cloud.delete_faults()
    cloud.run("promote dev staging --yes")
    assert cloud.images("SSO", "staging") == new
    assert len([one for one in cloud.heroku_releases("SSO", "staging") if one["images"] == new]) == 1


def test_records_that_cannot_be_written_are_said(cloud: Cloud) -> None:
    """All is verified and healthy, so nothing is undone; a later run writes the records."""
    new = cloud.publish("ITC")
    records = "/repos/example/services/deployments$"
    refusal = {"status": 403, "body": {"message": "Resource not accessible by integration"}}
    cloud.fault(vendor="github", method="POST", path=records, skip=1, action="status", **refusal)
    said = cloud.run("promote dev staging --yes", code=6).said
    assert "not all records were written" in said
    assert cloud.images("ITC", "staging") == new
    cloud.delete_faults()
    cloud.run("promote dev staging --yes")
    assert cloud.records("staging", "ITC")[-1]["payload"]["docker_image_shas"] == new
    assert len(cloud.heroku_releases("ITC", "staging")) == 2


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
def test_bad_credentials_say_what_to_do_and_show_nothing(cloud: Cloud) -> None:
    secrets = {
        "LIFTLOCK_SANDBOX_TOKEN": "stranger-4b1d0f",
        "HEROKU_API_KEY": "HRKU-secret-93ab",
        "GITHUB_TOKEN": "ghp_secret77f1",
        "SLACK_WEBHOOK_URL": f"{cloud.sandbox.base}/services/T/B/hook-secret-51c2",
    }
    cloud.clear_log()
    ran = cloud.run("promote dev staging --yes -v", code=1, variables=secrets)
    assert "401" in ran.err
    assert "Check that the credential is valid" in ran.err
    for secret in ("stranger-4b1d0f", "HRKU-secret-93ab", "ghp_secret77f1", "hook-secret-51c2"):
        assert secret not in ran.out + ran.err
    assert [one for one in cloud.requests() if one["method"] not in {"GET", "HEAD", "POST"}] == []


@pytest.mark.promise("P7")
def test_no_secret_is_shown_or_kept(cloud: Cloud) -> None:
    """Neither by a run that does everything, nor by one whose vendor repeats a token in its error."""
    key, hook = cloud.variables["MIGRATE_KEY"], "hook-secret-51c2"
    variables = {"SLACK_WEBHOOK_URL": f"{cloud.sandbox.base}/services/T/B/{hook}"}
    cloud.fault(vendor="slack", action="status", status=500, body=f"{hook} is unknown")
    ran = cloud.run("promote staging production --yes --events -v", variables=variables)
    ran_json = cloud.run("history --json", variables=variables)
    kept = repr(cloud.deployments()) + repr(cloud.requests("POST")) + repr(cloud.requests("PATCH"))
    log = "".join(str(one["body"]) for one in cloud.requests())
    for text in (ran.out, ran.err, ran_json.out, repr(cloud.deployments()), log):
        assert key not in text
        assert hook not in text
    assert key not in kept
