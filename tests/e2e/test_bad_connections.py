"""Answers that are lost, late or refused: what was asked for is done, and done once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.e2e.cloud import ALL, HEROKU, SITES, Cloud, state_of

pytestmark = pytest.mark.e2e

WRITES: dict[str, dict[str, Any]] = {
    "formation": {"vendor": "heroku", "method": "PATCH", "path": "/formation$"},
    "capture": {"vendor": "heroku_data", "method": "POST", "path": "/backups$"},
    "intent": {"vendor": "github", "method": "POST", "path": "services/deployments$"},
    "record": {"vendor": "github", "method": "POST", "path": "services/deployments$", "skip": 1},
    "status": {"vendor": "github", "method": "POST", "path": "/statuses$"},
    "site release": {"vendor": "firebase", "method": "POST", "path": "/releases"},
    "site clone": {"vendor": "firebase", "method": "POST", "path": ":clone$"},
}


def assert_done_once(cloud: Cloud) -> None:
    """Everything of dev runs in production, and nothing was done twice."""
    assert cloud.runs("production") == cloud.runs("dev")
    for app in HEROKU:
        assert len(cloud.heroku_releases(app, "production")) == 1, app
    for app in ("SSO", "ODB"):
        assert len(cloud.backups(app, "production")) == 1, app
    for app in SITES:
        releases = cloud.sandbox.observe()["firebase"]["sites"][f"{SITES[app]}-prod"]["releases"]
        assert len(releases) == 1, app
    for app in ALL:
        (record,) = cloud.records("production", app)
        assert Counter(one["state"] for one in record["statuses"]) == {"success": 1}, app
    (intent,) = cloud.intents("production")
    assert state_of(intent) == "success"


@pytest.mark.promise("P5")
@pytest.mark.parametrize("write", WRITES)
def test_a_lost_answer_is_resolved_by_looking(cloud: Cloud, write: str) -> None:
    rule = cloud.fault(**WRITES[write], action="lost", times=1)
    cloud.run("promote staging production --yes")
    assert cloud.fault_applied(rule) == 1
    assert_done_once(cloud)


@pytest.mark.promise("P5")
def test_every_answer_lost_once_at_once(cloud: Cloud) -> None:
    for write in WRITES.values():
        cloud.fault(**write, action="lost", times=1)
    cloud.run("promote staging production --yes")
    assert_done_once(cloud)


def test_writes_that_hang_go_on(cloud: Cloud) -> None:
    """Every kind of write hangs once; each goes on when it has been seen to hang."""
    hanging = {cloud.fault(**write, action="hang", times=1) for write in WRITES.values()}
    process = cloud.start("promote staging production --yes")
    while hanging:
        cloud.wait_until(lambda: any(map(cloud.fault_applied, hanging)))
        for rule in [rule for rule in hanging if cloud.fault_applied(rule)]:
            cloud.sandbox.request("DELETE", f"/_sandbox/faults/{rule}")
            hanging.remove(rule)
    cloud.end(process, 0)
    assert_done_once(cloud)


def test_connections_that_reset_are_used_again(cloud: Cloud) -> None:
    for vendor in ("github", "heroku", "heroku_data", "firebase", "registry"):
        cloud.fault(vendor=vendor, method="GET", action="reset", times=2)
    cloud.run("promote staging production --yes")
    assert_done_once(cloud)


def test_reads_that_fail_now_and_then_are_repeated(cloud: Cloud) -> None:
    for vendor, seed in (("github", 1), ("heroku", 2), ("firebase", 3), ("heroku_data", 4)):
        cloud.fault(
            vendor=vendor, method="GET", action="status", status=503, probability=0.15, seed=seed, times=6
        )
    cloud.run("promote staging production --yes")
    assert_done_once(cloud)


def test_a_limit_is_waited_for_in_sight(cloud: Cloud) -> None:
    again = {"headers": {"Retry-After": "1"}, "action": "status", "times": 1}
    cloud.fault(vendor="github", method="POST", path="/deployments$", status=429, **again)
    cloud.fault(vendor="heroku", method="PATCH", status=429, body={"id": "rate_limit"}, **again)
    ran = cloud.run("promote staging production --yes")
    assert "waiting 1 s for GitHub" in ran.out
    assert "waiting 1 s for Heroku" in ran.out
    assert_done_once(cloud)


def test_githubs_secondary_limit_is_waited_for(cloud: Cloud) -> None:
    body = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    cloud.fault(
        vendor="github",
        method="POST",
        path="/statuses$",
        action="status",
        status=403,
        headers={"Retry-After": "1"},
        body=body,
        times=1,
    )
    assert "for GitHub" in cloud.run("promote staging production --yes").out
    assert_done_once(cloud)


def test_the_vendors_limits_are_kept(cloud: Cloud) -> None:
    cloud.settings(limits=True)
    cloud.clear_log()
    cloud.run("promote staging production --yes")
    assert_done_once(cloud)
    assert [one for one in cloud.requests() if one["status"] in {403, 429}] == []


def test_an_answer_that_is_not_json_is_said(cloud: Cloud) -> None:
    cloud.fault(vendor="heroku", method="GET", path="/formation", action="body", body="<html>Oops</html>")
    cloud.publish("ITC")
    before = cloud.runs("staging")
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "Heroku" in said or "heroku" in said
    assert "JSON" in said
    assert cloud.runs("staging") == before
