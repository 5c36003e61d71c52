"""Clients that nobody here wrote see what liftlock did, and liftlock sees what they do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.clients import Clients, why_not
from tests.e2e.cloud import Cloud, heroku, site

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.clients,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

STAGING = heroku("SSO", "staging")


@pytest.fixture
def clients(cloud: Cloud) -> Clients:
    return Clients(cloud)


def seen(cloud: Cloud, app: str, environment: str = "staging", code: int = 0) -> Any:
    """An app in an environment, as `liftlock status` has it."""
    (found,) = [
        one
        for one in cloud.run(f"status {environment} --json --check", code).document["apps"]
        if one["app"] == app
    ]
    return found


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
def test_the_heroku_cli_sees_the_release_the_dynos_and_the_backup_of_a_promotion(
    cloud: Cloud, clients: Clients
) -> None:
    new = cloud.publish("ODB")
    cloud.run("promote dev staging ODB --yes")
    ours = seen(cloud, "ODB")
    app = heroku("ODB", "staging")

    newest, *_ = json.loads(clients.heroku(f"releases --json --app {app}").out)
    assert (newest["status"], newest["current"]) == ("succeeded", True)
    assert f"v{newest['version']}" == ours["running"]["marker"]
    for image in new.values():
        assert image.removeprefix("sha256:")[:12] in newest["description"]
    told = clients.heroku(f"releases:info v{newest['version']} --json --app {app}").document
    assert told["id"] == newest["id"]

    dynos = clients.heroku(f"ps --json --app {app}").document
    assert {one["type"] for one in dynos} == {"web", "calibration", "obscalc"}
    assert {(one["state"], one["release"]["version"]) for one in dynos} == {("up", newest["version"])}

    (backup, *_) = cloud.run("backups list staging ODB --json").document["backups"]
    assert backup["id"] in clients.heroku(f"pg:backups --app {app}").out
    said = clients.heroku(f"pg:backups:info {backup['id']} --app {app}").said
    assert "Status: Completed" in said


def test_the_heroku_cli_looks_around(clients: Clients) -> None:
    """What people type first. None of it is asked for by liftlock."""
    names = {one["name"] for one in clients.heroku("apps --json").document}
    assert {STAGING, heroku("ODB", "production")} <= names
    assert set(clients.heroku(f"config --json --app {STAGING}").document) >= {"DATABASE_URL"}
    assert "Status: Available" in clients.heroku(f"pg:info --app {STAGING}").said
    assert "heroku-postgresql" in clients.heroku(f"addons --app {STAGING}").said
    assert f"=== {STAGING}" in clients.heroku(f"apps:info --app {STAGING}").out
    said = clients.heroku("ps --app no-such-app", code=2).said
    assert "Couldn't find that app." in said


@pytest.mark.promise("P1")
def test_a_release_by_the_heroku_cli_is_drift_and_its_rollback_ends_it(
    cloud: Cloud, clients: Clients
) -> None:
    assert seen(cloud, "SSO")["drift"] == "none"
    image, _ = cloud.push("SSO", seed="by hand")
    clients.heroku(f"container:release web --app {STAGING}")
    assert cloud.images("SSO", "staging")["web"] == image
    cell = seen(cloud, "SSO", code=5)
    assert image.removeprefix("sha256:")[:7] in json.dumps(cell["running"])
    assert cell["difference"]
    clients.heroku(f"releases:rollback --app {STAGING}")
    assert seen(cloud, "SSO")["drift"] == "none"


def test_a_backup_that_the_heroku_cli_took_is_listed_and_its_url_is_given(
    cloud: Cloud, clients: Clients
) -> None:
    said = clients.heroku(f"pg:backups:capture --wait-interval 3 --app {STAGING}").said
    (newest, *_) = cloud.run("backups list staging SSO --json").document["backups"]
    assert f"Backing up DATABASE to {newest['id']}" in said
    url = clients.heroku(f"pg:backups:url {newest['id']} --app {STAGING}").out.strip()
    assert len(cloud.sandbox.request("GET", url)) == newest["size_bytes"]


@pytest.mark.promise("P6")
def test_firebase_tools_sees_what_was_promoted_and_its_own_clone_is_drift(
    cloud: Cloud, clients: Clients
) -> None:
    dev, stage = site("Explore", "dev"), site("Explore", "staging")
    sites = clients.firebase_result("hosting:sites:list --project observatory")["sites"]
    assert {one["name"].rpartition("/")[2] for one in sites} >= {dev, stage}

    clients.site(stage, index="Stars by hand")
    listed = clients.firebase_result(f"hosting:channel:list --site {stage} --project observatory")
    (live,) = [one for one in listed["channels"] if one["name"].endswith("/channels/live")]
    ours = seen(cloud, "Explore")
    assert live["release"]["version"]["name"] in json.dumps(ours["running"])

    cloud.publish_site("Explore", seed="later")
    clients.firebase(f"hosting:clone {dev}:live {stage}:live")
    assert cloud.live("Explore", "staging") == cloud.live("Explore", "dev")
    assert seen(cloud, "Explore", code=5)["difference"]

    clients.firebase("deploy --only hosting --project observatory")
    assert cloud.live("Explore", "staging") != cloud.live("Explore", "dev")
    assert seen(cloud, "Explore", code=5)["difference"]


def test_a_site_that_firebase_tools_deployed_is_promoted_by_its_content(
    cloud: Cloud, clients: Clients
) -> None:
    clients.site(site("Explore", "dev"), index="A new sky", about="Who looked")
    clients.firebase("deploy --only hosting --project observatory")
    cloud.record("Explore", "dev", {})
    cloud.run("promote dev staging Explore --yes")
    assert cloud.live("Explore", "staging") == cloud.live("Explore", "dev")
    clients.firebase_result("hosting:channel:deploy preview --project observatory")
    assert seen(cloud, "Explore", "dev")["drift"] == "none"


def test_a_record_that_octokit_made_is_read_and_octokit_reads_ours(cloud: Cloud, clients: Clients) -> None:
    images = {"web": cloud.push("SSO", seed="by another tool")[0]}
    cloud.release("SSO", "dev", images)
    commit = cloud.commit()
    repository = {"owner": "example", "repo": "services"}
    made = clients.github(
        "repos.createDeployment",
        **repository,
        ref=commit,
        task="deploy:SSO",
        environment="development",
        auto_merge=False,
        required_contexts=[],
        payload={"docker_image_shas": images},
    )
    clients.github("repos.createDeploymentStatus", **repository, deployment_id=made["id"], state="success")
    cell = seen(cloud, "SSO", "dev")
    assert cell["recorded"]["record"] == str(made["id"])
    assert (cell["recorded"]["commit"], cell["recorded"]["by"]) == (commit, "workflow")
    assert cell["drift"] == "none"

    cloud.run("promote dev staging SSO --yes")
    ours = clients.github("repos.listDeployments", **repository, task="deploy:SSO", environment="staging")[0]
    assert str(ours["id"]) == seen(cloud, "SSO")["recorded"]["record"]
    assert (ours["sha"], ours["payload"]["docker_image_shas"]) == (commit, images)
    (status, *_) = clients.github("repos.listDeploymentStatuses", **repository, deployment_id=ours["id"])
    assert status["state"] == "success"


@pytest.mark.promise("P3")
def test_a_ref_of_a_lease_cannot_be_made_again_by_octokit(cloud: Cloud, clients: Clients) -> None:
    """Of one name there is one ref, whoever asks: what the lease stands on."""
    repository = {"owner": "example", "repo": "services"}
    cloud.publish("SSO")
    cloud.run("promote dev staging SSO --yes")
    refs = clients.github("git.listMatchingRefs", **repository, ref="liftlock/")
    assert refs
    taken = refs[-1]
    said = clients.github_refuses("git.createRef", **repository, ref=taken["ref"], sha=taken["object"]["sha"])
    assert "422: Reference already exists" in said
