"""Records that others wrote, failed or never wrote, and what running says against them."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cloud import Cloud, state_of

pytestmark = pytest.mark.e2e


@pytest.mark.promise("P8")
def test_a_source_without_a_record_is_named(cloud: Cloud) -> None:
    """production is promoted from staging and dev; of staging, nothing of ITC is known here."""
    cloud.configure("[apps.ITC]", '[apps.ITC]\nrecord = { task = "deploy:ITC-2" }')
    before = cloud.runs("production")
    said = cloud.run("promote staging production --yes", code=1).said
    assert "ITC: no deployment is recorded in staging" in said
    assert "Deploy to staging first, or promote the other apps by name" in said
    assert cloud.runs("production") == before
    assert cloud.intents("production") == []
    cloud.run("promote staging production RESOURCE --yes")
    assert cloud.images("RESOURCE", "production") == cloud.images("RESOURCE", "staging")


def test_the_newest_success_is_promoted_when_a_newer_deployment_failed(cloud: Cloud) -> None:
    good = cloud.publish("ITC", seed="good")
    bad, _ = cloud.push("ITC", seed="bad")
    commit = cloud.commit(subject="Break ITC")
    number = cloud.record("ITC", "dev", {"docker_image_shas": {"web": bad}}, commit=commit, state="failure")
    said = cloud.run("promote dev staging --yes").said
    assert "ITC" in said
    assert "failed" in said
    assert commit[:7] in said or str(number) in said
    assert cloud.images("ITC", "staging") == good


@pytest.mark.promise("P1")
def test_a_source_that_never_succeeded_is_not_promoted(cloud: Cloud) -> None:
    cloud.configure("[apps.ITC]", '[apps.ITC]\nrecord = { task = "deploy:ITC-2" }')
    body = {"ref": "main", "task": "deploy:ITC-2", "environment": "development", "auto_merge": False}
    body |= {"required_contexts": [], "payload": {"docker_image_shas": cloud.images("ITC", "dev")}}
    root = "/repos/example/services/deployments"
    number = cloud.sandbox.request("POST", root, body)["id"]
    cloud.sandbox.request("POST", f"{root}/{number}/statuses", {"state": "failure"})
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "failed, and none succeeded before" in said


OTHERS = {"no status": None, "success": "success"}


@pytest.mark.parametrize("state", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("as_string", [False, True], ids=["object", "string"])
def test_records_of_other_tools_are_promoted(cloud: Cloud, state: str | None, as_string: bool) -> None:
    image, _ = cloud.push("SSO", seed="by hand")
    cloud.release("SSO", "dev", {"web": image})
    payload = {"docker_image_shas": {"web": image}}
    cloud.record("SSO", "dev", json.dumps(payload) if as_string else payload, state=state)
    cloud.run("promote dev staging --yes")
    assert cloud.images("SSO", "staging") == {"web": image}
    record = cloud.records("staging", "SSO")[-1]
    assert record["payload"]["docker_image_shas"] == {"web": image}


@pytest.mark.promise("P6")
def test_a_manifests_digest_in_a_record_finds_its_image(cloud: Cloud) -> None:
    """What `docker inspect` prints on engines with the containerd image store."""
    image, digest = cloud.push("SSO", seed="by digest")
    cloud.release("SSO", "dev", {"web": image})
    cloud.record("SSO", "dev", {"docker_image_shas": {"web": digest}})
    cloud.run("promote dev staging --yes")
    assert cloud.images("SSO", "staging") == {"web": image}
    assert cloud.records("staging", "SSO")[-1]["payload"]["docker_image_shas"] == {"web": image}
    cloud.clear_log()
    cloud.run("promote dev staging --yes")
    assert cloud.requests("PATCH", "/formation$") == []


@pytest.mark.promise("P6")
def test_a_site_record_without_a_version_pins_what_is_live(cloud: Cloud) -> None:
    cloud.publish_site("Explore", seed="1.20")
    cloud.record("Explore", "dev", {}, commit=cloud.commit("explore"))
    said = cloud.run("promote dev staging --yes").said
    assert "its record does not name every artifact; pinned now" in said
    assert cloud.live("Explore", "staging") == cloud.live("Explore", "dev")


@pytest.mark.promise("P6")
def test_a_recorded_site_version_is_lifted_not_what_is_live(cloud: Cloud) -> None:
    recorded = cloud.live("Explore", "dev")
    cloud.publish_site("Explore", seed="put there by hand")
    assert cloud.live("Explore", "dev") != recorded
    cloud.run("promote dev production Explore --yes")
    assert cloud.live("Explore", "production") == recorded


@pytest.mark.promise("P8")
def test_an_image_that_is_nowhere_is_named(cloud: Cloud) -> None:
    missing = "sha256:" + "ab" * 32
    cloud.record("ITC", "dev", {"docker_image_shas": {"web": missing}})
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "ITC" in said
    assert missing[7:19] in said
    assert cloud.intents("staging")[-1]["id"] < cloud.records("dev", "ITC")[-1]["id"]


def test_a_tag_that_moved_does_not_matter(cloud: Cloud) -> None:
    new = cloud.publish("ITC", seed="recorded")
    cloud.push("ITC", seed="pushed later, as latest")
    cloud.run("promote dev staging --yes")
    assert cloud.images("ITC", "staging") == new


def drift(cloud: Cloud, app: str = "ITC") -> dict[str, str]:
    """Somebody releases another image in staging by hand."""
    image, _ = cloud.push(app, seed="hot fix")
    cloud.release(app, "staging", {"web": image})
    return {"web": image}


@pytest.mark.promise("P8")
def test_drift_is_not_overwritten_silently(cloud: Cloud) -> None:
    by_hand = drift(cloud)
    new = cloud.publish("ITC")
    ran = cloud.run("promote dev staging --yes", code=3)
    assert "drift" in ran.err
    assert f"ITC: web runs {by_hand['web'][7:19]}" in ran.said
    assert "--accept-drift" in ran.err
    assert cloud.images("ITC", "staging") == by_hand
    cloud.run("promote dev staging --yes --accept-drift")
    assert cloud.images("ITC", "staging") == new
    assert "drift" in str(cloud.intents("staging")[-1]["payload"]["liftlock"]["overrides"])


def test_drift_in_the_source_is_said_and_the_record_is_lifted(cloud: Cloud) -> None:
    recorded = cloud.publish("ITC", seed="recorded")
    by_hand, _ = cloud.push("ITC", seed="by hand")
    cloud.release("ITC", "dev", {"web": by_hand})
    said = cloud.run("promote dev staging --yes").said
    assert "dev" in said
    assert cloud.images("ITC", "staging") == recorded


@pytest.mark.promise("P8")
def test_status_check_tells_drift_and_what_cannot_be_looked_at(cloud: Cloud) -> None:
    cloud.run("status --check")
    drift(cloud)
    ran = cloud.run("status --check", code=5)
    assert "drift: ITC in staging: web runs" in ran.said
    cloud.run("status dev --check")
    cloud.fault(vendor="heroku", method="GET", path="lucuma-sso-dev/formation", action="status", status=500)
    ran = cloud.run("status dev --check", code=1)
    assert "unknown: SSO in dev" in ran.said
    cloud.run("status dev", code=0)


@pytest.mark.promise("P8")
def test_a_worker_scaled_to_zero_by_hand_is_drift_until_it_is_recorded(cloud: Cloud) -> None:
    cloud.scale("ODB", "staging", "calibration", 1)
    cloud.publish("ODB")
    cloud.run("promote dev staging --yes")
    cloud.scale("ODB", "staging", "calibration", 0)
    ran = cloud.run("status staging --check", code=5)
    assert "drift: ODB in staging: calibration is scaled to zero" in ran.said
    assert "scaled to zero since it was recorded: calibration" in cloud.run("record staging --yes").said
    cloud.run("status staging --check")
    cloud.publish("ODB", seed="newer")
    cloud.run("promote dev staging --yes")
    assert "calibration.1" not in cloud.up("ODB", "staging")
    cloud.run("status staging --check")


def test_a_rollback_goes_to_any_earlier_promotion(cloud: Cloud) -> None:
    first = cloud.runs("staging")
    cloud.publish("ITC", seed="2")
    cloud.run("promote dev staging --yes")
    cloud.publish("ITC", seed="3")
    cloud.run("promote dev staging --yes")
    entries = cloud.run("history staging --json").document
    oldest = [one for one in entries if one["kind"] == "promotion"][-1]["id"]
    cloud.run(f"rollback staging --to {oldest} --yes")
    assert cloud.runs("staging") == first
    assert state_of(cloud.intents("staging")[-1]) == "success"
