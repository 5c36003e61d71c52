"""githubkit, a client generated from GitHub's own OpenAPI description, beside liftlock in one sandbox.

Whatever it reads is held against that description, as the type that its method promises.
It is installed with the tests and needs no npm, as the clients in `test_clients` do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, cast

import pytest
from githubkit import GitHub
from githubkit.exception import RequestFailed, SecondaryRateLimitExceeded
from githubkit_schemas.v2022_11_28.models import BasicError, Deployment, DeploymentStatus, ValidationError

from tests.e2e.cloud import Cloud, task_of

pytestmark = pytest.mark.e2e

State = Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
HERE = ("example", "services")
LEASES = "liftlock/observatory/staging/"


class Script:
    """What a team's promote script does with GitHub, as somebody who is not whom liftlock goes by here."""

    def __init__(self, client: GitHub[Any]) -> None:
        self.client = client
        rest = client.rest("2022-11-28")
        self.repos, self.git, self.rate_limit = rest.repos, rest.git, rest.rate_limit

    def newest(self, app: str, environment: str) -> Deployment:
        """The record that a script takes: the first that is listed, whatever its state."""
        task, name = task_of(app, environment)
        found = self.repos.list_deployments(*HERE, task=task, environment=name, per_page=1)
        return found.parsed_data[0]

    def statuses(self, number: int) -> list[DeploymentStatus]:
        """Newest first."""
        return self.repos.list_deployment_statuses(*HERE, number).parsed_data

    def record(
        self, app: str, environment: str, payload: Any, *states: State, commit: str = "main"
    ) -> Deployment:
        """Write a record, and its states one after another."""
        task, name = task_of(app, environment)
        made = self.repos.create_deployment(
            *HERE,
            ref=commit,
            task=task,
            environment=name,
            payload=payload,
            auto_merge=False,
            required_contexts=[],
        )
        number = made.parsed_data.id
        assert made.headers["location"] == made.parsed_data.url
        for state in states:
            answer = self.repos.create_deployment_status(*HERE, number, state=state, description="by hand")
            assert answer.headers["location"] == answer.parsed_data.url
        return made.parsed_data


@pytest.fixture
def script(cloud: Cloud) -> Iterator[Script]:
    # Nothing is remembered or asked twice: a test sees what the sandbox says.
    with GitHub(
        "user-workflow", base_url=cloud.sandbox.base, http_cache=False, auto_retry=False, trust_env=False
    ) as client:
        yield Script(client)


def seen(cloud: Cloud, app: str, environment: str) -> Any:
    """An app in an environment, as `liftlock status` has it."""
    document = cloud.run(f"status {environment} --json --check").document
    (found,) = [one for one in document["apps"] if one["app"] == app]
    return found


def payload(deployment: Deployment) -> dict[str, Any]:
    return cast("dict[str, Any]", deployment.model_dump()["payload"])


def refusal(error: pytest.ExceptionInfo[RequestFailed]) -> tuple[int, str]:
    """The status of a refusal and its message, which GitHub describes, too."""
    body = error.value.response.parsed_data
    assert isinstance(body, BasicError | ValidationError)
    return error.value.response.status_code, str(body.message)


@pytest.mark.promise("P1")
def test_githubkit_reads_what_a_promotion_recorded(cloud: Cloud, script: Script) -> None:
    before = script.newest("ODB", "staging")
    images = cloud.publish("ODB")
    cloud.run("promote dev staging ODB --yes")

    source, ours = script.newest("ODB", "dev"), script.newest("ODB", "staging")
    assert str(ours.id) == seen(cloud, "ODB", "staging")["recorded"]["record"]
    assert (ours.sha, ours.task, ours.environment) == (source.sha, "deploy:ODB", "staging")
    assert payload(ours)["docker_image_shas"] == images
    assert ours.creator is not None
    assert ours.creator.login == "owner"
    assert script.statuses(ours.id)[0].state == "success"
    assert script.statuses(before.id)[0].state == "inactive"

    intent, *_ = script.repos.list_deployments(*HERE, task="liftlock:promotion").parsed_data
    assert intent.environment == "staging"
    assert script.statuses(intent.id)[0].state == "success"


@pytest.mark.promise("P6")
def test_what_a_script_records_is_shown_and_promoted_and_it_copies_ours(cloud: Cloud, script: Script) -> None:
    images = {"web": cloud.push("SSO", seed="by a script")[0]}
    cloud.release("SSO", "dev", images)
    commit = cloud.commit()
    content = {"docker_image_shas": images}
    made = script.record("SSO", "dev", content, "queued", "in_progress", "success", commit=commit)
    assert [one.state for one in script.statuses(made.id)] == ["success", "in_progress", "queued"]
    cell = seen(cloud, "SSO", "dev")
    assert (cell["recorded"]["record"], cell["recorded"]["commit"]) == (str(made.id), commit)
    assert (cell["recorded"]["by"], cell["drift"]) == ("workflow", "none")

    cloud.run("promote dev staging SSO --yes")
    assert cloud.images("SSO", "staging") == images
    ours = script.newest("SSO", "staging")
    assert (ours.sha, payload(ours)["docker_image_shas"]) == (commit, images)

    cloud.release("SSO", "production", payload(ours)["docker_image_shas"])
    copied = script.record("SSO", "production", json.dumps(payload(ours)), "success", commit=ours.sha)
    cell = seen(cloud, "SSO", "production")
    assert (cell["recorded"]["record"], cell["drift"]) == (str(copied.id), "none")


def test_githubkit_turns_the_pages_of_records(cloud: Cloud, script: Script) -> None:
    content = {"docker_image_shas": cloud.images("RESOURCE", "dev")}
    made = [script.record("RESOURCE", "dev", content).id for _ in range(4)]
    task, name = task_of("RESOURCE", "dev")
    listed = script.repos.list_deployments
    owner, repo = HERE
    read = [
        one.id
        for one in script.client.rest.paginate(
            listed, None, owner, repo, task=task, environment=name, per_page=2
        )
    ]
    assert read[:4] == made[::-1]
    assert len(set(read)) == len(read) == 5
    middle = listed(*HERE, task=task, environment=name, per_page=2, page=2).raw_response
    assert set(middle.links) == {"prev", "next", "last", "first"}
    assert listed(*HERE, task=task, environment=name, per_page=2, page=4).parsed_data == []


def test_githubkit_reads_each_refusal(cloud: Cloud, script: Script) -> None:
    made = script.record("SSO", "dev", {})
    with pytest.raises(RequestFailed) as failed:
        script.repos.get_deployment(*HERE, made.id + 1)
    assert refusal(failed) == (404, "Not Found")
    with pytest.raises(RequestFailed) as failed:
        script.repos.create_deployment(*HERE, ref="no-such-branch")
    assert refusal(failed) == (422, "No ref found for: no-such-branch")
    with pytest.raises(RequestFailed) as failed:
        script.repos.create_deployment_status(*HERE, made.id, state="success", description="x" * 141)
    status, message = refusal(failed)
    assert status == 422
    assert "maximum is 140 characters" in message
    with pytest.raises(RequestFailed) as failed:
        script.git.create_ref(*HERE, ref="refs/liftlock/x", sha="f" * 40)
    assert refusal(failed) == (422, "Object does not exist")


def test_githubkit_is_told_how_long_to_wait_at_a_limit(cloud: Cloud, script: Script) -> None:
    cloud.settings(limits=True)
    states: list[State] = ["in_progress"] * 80
    with pytest.raises(SecondaryRateLimitExceeded) as failed:
        script.record("SSO", "dev", {}, *states)
    assert 0 < failed.value.retry_after.total_seconds() <= 60
    core = script.rate_limit.get().parsed_data.resources.core
    assert (core.limit, core.used, core.remaining) == (5000, 80, 4920)


@pytest.mark.promise("P3")
def test_githubkit_sees_the_lease_of_a_promotion_and_cannot_take_it(cloud: Cloud, script: Script) -> None:
    cloud.publish("SSO")
    cloud.settings(backup_s=4)
    cloud.clear_log()
    promotion = cloud.start("promote dev staging SSO --yes")
    cloud.wait_until(lambda: cloud.requests("POST", "/backups$"))
    ours = cloud.run("lease show staging --json").document["holding"]
    refs = script.git.list_matching_refs(*HERE, LEASES).parsed_data
    held = max(refs, key=lambda one: one.ref)
    assert int(held.ref.removeprefix(f"refs/{LEASES}")) == ours["token"]
    tag = script.git.get_tag(*HERE, held.object_.sha).parsed_data
    assert tag.tagger.name == ours["holder"] == "owner"
    assert json.loads(tag.message)["purpose"] == ours["purpose"]
    with pytest.raises(RequestFailed) as failed:
        script.git.create_ref(*HERE, ref=held.ref, sha=held.object_.sha)
    assert refusal(failed) == (422, "Reference already exists")
    cloud.end(promotion, 0)
