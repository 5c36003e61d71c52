"""What the ledger and the reader of commits send to GitHub, and what the sandbox answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from liftlock.model import Backup, CheckState, ImageId, Kind, Release, Review, State, WorkflowRun
from liftlock.ports import NewDeployment, NewIntent
from tests.contract.conftest import COMMITS, Stage

pytestmark = pytest.mark.anyio

WEB, WORKER = ImageId("sha256:" + "a" * 64), ImageId("sha256:" + "b" * 64)
RELEASE = Release("SSO", COMMITS[0], {"web": WEB, "worker": WORKER})
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BACKUP = Backup("b001", "postgresql-curly-1", "SSO", "heroku", 4096, AT, AT)
INTENT = NewIntent(
    key="0123456789abcdef",
    kind=Kind.PROMOTION,
    environment="staging",
    source="dev",
    plan_digest="sha256:" + "c" * 64,
    releases={"SSO": RELEASE},
    replaced={},
    before={"SSO": {"web": WORKER}},
)


async def test_a_promotion_s_records_are_as_github_describes_them(stage: Stage) -> None:
    ledger = stage.adapters.ledger
    assert await ledger.account() == "owner"
    intent = await ledger.open_intent(INTENT)
    assert (await ledger.open_intent(INTENT)).id == intent.id
    new = NewDeployment(
        app="SSO",
        environment="staging",
        release=RELEASE,
        promotion=intent.id,
        kind=Kind.PROMOTION,
        source_environment="dev",
        backups=(BACKUP,),
        description="lifted from dev",
    )
    first = await ledger.record(new, intent)
    await ledger.mark(first, State.SUCCESS, "x" * 300)
    await ledger.close_intent(intent, State.SUCCESS, "done")

    later = replace(INTENT, key="fedcba9876543210", releases={"SSO": replace(RELEASE, commit=COMMITS[1])})
    second = await ledger.open_intent(later)
    await ledger.record(replace(new, promotion=second.id, replaced=first.id), second)
    await ledger.mark(first, State.INACTIVE)

    records = ledger.read("staging", ["SSO", "Explore"])
    assert set(await records.newest()) == {"SSO"}
    assert set(await records.recorded()) >= {"SSO"}
    assert [each.id for each in await records.open_intents()] == [second.id]
    assert len(await ledger.intents(None, 10)) == 2
    assert len(await ledger.deployments("staging", "SSO", 10)) == 2
    assert {method for method, _ in stage.recorder.seen("github")} >= {"GET", "POST"}


async def test_commits_are_read_as_github_describes_them(stage: Stage) -> None:
    source_code = stage.adapters.source_code
    commit = await source_code.commit("example/services", COMMITS[1])
    assert commit is not None
    assert commit.subject == "Change 1"
    assert await source_code.commit("example/services", "f" * 40) is None
    await source_code.compare_url("example/services", COMMITS[0], COMMITS[2])


async def test_the_pull_request_of_a_commit_is_as_github_describes_it(stage: Stage) -> None:
    topic, merge = "4" * 40, "5" * 40
    commits = [
        {"sha": topic, "parents": [COMMITS[1]], "message": "Try it", "login": "ada"},
        {"sha": merge, "parents": [COMMITS[2], topic], "message": "Merge it", "login": "grace"},
    ]
    await stage.tell("PUT", "/github/example/services/commits", commits)
    pulls = [{"number": 12, "title": "Change it", "login": "ada", "merge_commit": merge}]
    await stage.tell("PUT", "/github/example/services/pulls", pulls)
    source_code = stage.adapters.source_code
    for sha, number, login in ((merge, 12, "grace"), (topic, 12, "ada"), (COMMITS[2], None, "")):
        about = await source_code.about("example/services", sha)
        assert (about.sha, about.pull_request, about.login) == (sha, number, login)
    assert stage.recorder.seen("github") >= {("GET", f"/repos/example/services/commits/{merge}/pulls")}


async def test_checks_and_approvals_are_as_github_describes_them(stage: Stage) -> None:
    checks = [{"name": "test", "conclusion": "success"}, {"name": "lint", "status": "in_progress"}]
    path = f"/_sandbox/github/example/services/checks/{COMMITS[1]}"
    assert (await stage.client.put(path, json=checks)).status_code == 200
    await stage.client.post(
        f"/repos/example/services/statuses/{COMMITS[1]}",
        json={"state": "failure", "context": "ci/audit"},
        headers={"authorization": "Bearer owner"},
    )
    found = await stage.adapters.source_code.checks("example/services", COMMITS[1])
    assert {check.name: check.state for check in found} == {
        "test": CheckState.GREEN,
        "lint": CheckState.PENDING,
        "ci/audit": CheckState.FAILED,
    }
    approval = await stage.adapters.ledger.approve("staging", "d" * 64, AT)
    assert await stage.adapters.ledger.approvals("staging", "d" * 64) == [approval]


@pytest.mark.parametrize(
    "path",
    [
        f"/repos/example/services/compare/{COMMITS[0]}...{COMMITS[2]}",
        f"/repos/example/services/git/commits/{COMMITS[0]}",
        "/repos/example/services",
        "/repos/example/nothing",
        "/repos/example/services/git/ref/heads/main",
        "/repos/example/services/git/matching-refs/heads/",
        "/repos/example/services/git/ref/heads/nothing",
        "/rate_limit",
    ],
    ids=lambda path: path.replace("0", "") if isinstance(path, str) else None,
)
async def test_what_later_commands_will_ask_is_answered_as_github_describes_it(
    stage: Stage, path: str
) -> None:
    await stage.client.get(path, headers={"authorization": "Bearer owner"})


async def test_refs_as_leases_are_as_github_describes_them(stage: Stage) -> None:
    async def ask(method: str, path: str, document: object = None) -> int:
        answer = await stage.client.request(
            method,
            f"/repos/example/services/git/{path}",
            json=document,
            headers={"authorization": "Bearer owner"},
        )
        return answer.status_code

    ref = {"ref": "refs/liftlock/staging", "sha": COMMITS[0]}
    assert await ask("POST", "refs", ref) == 201
    assert await ask("POST", "refs", ref) == 422
    assert await ask("PATCH", "refs/liftlock/staging", {"sha": COMMITS[1], "force": False}) == 200
    assert await ask("PATCH", "refs/liftlock/staging", {"sha": COMMITS[0], "force": False}) == 422
    assert await ask("DELETE", "refs/liftlock/staging") == 204


async def test_a_run_and_its_reviews_are_as_github_describes_them(stage: Stage) -> None:
    reviews = [
        {"user": "alice", "environments": ["promote-production"]},
        {"user": "bob", "environments": ["promote-staging"], "state": "rejected"},
    ]
    run = {"actor": "carol", "triggering_actor": "dave", "attempt": 2, "reviews": reviews}
    await stage.client.put("/_sandbox/github/example/services/runs/42", json=run)
    assert stage.adapters.workflow is not None
    assert await stage.adapters.workflow.run() == WorkflowRun(
        ("carol", "dave"),
        attempt=2,
        is_running=True,
        reviews=(
            Review("alice", approved=True, environments=("promote-production",)),
            Review("bob", approved=False, environments=("promote-staging",)),
        ),
    )
