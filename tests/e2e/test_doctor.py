"""`liftlock doctor`: all is well, or what is wrong and the exact thing to do; nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cloud import Cloud, Ran

pytestmark = pytest.mark.e2e


def mended(ran: Ran) -> dict[str, Any]:
    """By group and what, those that have to be mended."""
    return {f"{p['group']}: {p['what']}": p for p in ran.document["probes"] if p["health"] == "mend"}


def test_all_is_well_and_nothing_is_changed(shared: Cloud) -> None:
    shared.clear_log()
    before = shared.runs("staging"), shared.deployments()
    ran = shared.run("doctor")
    assert "are well." in ran.out
    for word in (
        "GitHub", "owner; classic, scopes repo", "example/services: deployments", "requests left",
        "itc-production (ITC in production)", "explore-gemini-stage", "registry", "Heroku Postgres",
        "preferences in dev", "webhook", "git version",
    ):  # fmt: skip
        assert word in ran.out, word
    looks = {("GET", ""), ("HEAD", ""), ("POST", "/actions/addon-attachments/resolve")}
    asked = {(one["method"], one["path"] if one["method"] == "POST" else "") for one in shared.requests()}
    assert asked <= looks
    assert (shared.runs("staging"), shared.deployments()) == before
    document = shared.run("doctor --json").document
    assert document["well"] is True
    assert {probe["health"] for probe in document["probes"]} <= {"well", "note"}


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("fault", "what", "words"),
    [
        ({"vendor": "heroku", "path": "/apps/itc-staging", "status": 404}, "Heroku: itc-staging", "heroku create itc-staging"),
        ({"vendor": "heroku", "path": "/apps/itc-staging", "status": 403}, "Heroku: itc-staging", "heroku access:add"),
        ({"vendor": "firebase", "path": "/v1beta1/sites/admin-ui-prod/channels/live", "status": 403}, "Firebase: admin-ui-prod", "Firebase Hosting Admin"),
        ({"vendor": "github", "path": "/repos/example/admin/deployments", "status": 403}, "GitHub: example/admin: deployments", "deployments: write in example/admin"),
        ({"vendor": "github", "path": "/repos/example/admin", "status": 404}, "GitHub: example/admin", "fine-grained one has to name the repository"),
        ({"vendor": "registry", "path": "/v2/.*", "status": 401}, "Heroku: registry", "heroku login"),
    ],
)  # fmt: skip
def test_each_trouble_is_named_with_what_to_do(
    cloud: Cloud, fault: dict[str, Any], what: str, words: str
) -> None:
    cloud.fault(method="GET", action="status", **fault)
    found = mended(cloud.run("doctor --json", code=1))
    wrong = next(probe for name, probe in found.items() if name.startswith(what))
    assert words in wrong["hint"], wrong
    assert len(found) < 6, found


@pytest.mark.promise("P7")
def test_a_wrong_credential_is_told_once_for_each_vendor_and_never_shown(shared: Cloud) -> None:
    ran = shared.run("doctor", code=1, variables={"LIFTLOCK_SANDBOX_TOKEN": "wrong-and-secret"})
    assert ran.said.count("does not take the credential (401)") == 5
    assert "wrong-and-secret" not in ran.said
    assert "GITHUB_TOKEN" in ran.said


def test_a_missing_secret_is_named(shared: Cloud) -> None:
    ran = shared.run("doctor --json", code=1, variables={"SLACK_WEBHOOK_URL": ""})
    assert mended(ran)["Slack: webhook"]["hint"] == "Set SLACK_WEBHOOK_URL."


def test_a_wrong_configuration_is_exit_2_with_every_mistake(cloud: Cloud) -> None:
    cloud.configure("[apps.ITC]", '[apps.ITC]\nafter = ["SOS"]\nherok = "x"')
    ran = cloud.run("doctor", code=2)
    assert "SOS" in ran.err
    assert "herok" in ran.err
