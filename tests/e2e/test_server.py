"""`liftlock --server URL`: everything that the command line does, from where there is no vendor's token at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import ALL, Ran
from tests.e2e.conftest import Make
from tests.e2e.serving import Server

pytestmark = pytest.mark.e2e
GATES = ("[environments.production]\n", "[environments.production]\ngates = { approvals = 1 }\n")


@pytest.fixture(scope="module")
def server(make_cloud: Make, staged: Path) -> Iterator[Server]:
    """The observatory's server: version 1 in dev and in staging; production wants one approval."""
    cloud = make_cloud(staged)
    cloud.configure(*GATES)
    server = Server(cloud)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def ci(server: Server) -> str:
    """The token of a program that may promote to staging."""
    return server.token("ci", "--allow staging=promote --allow dev=see --allow production=see")


def plain(text: str) -> str:
    """Without times, ids and lengths of time, which differ from run to run."""
    text = re.sub(r"\b\d+(\.\d+)? ?(s|ms|min|h)\b", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)?", "MOMENT", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "MOMENT", text)  # in an app's own log lines
    text = re.sub(r"plan [0-9a-f]{12}\b", "plan DIGEST", text)  # it holds the platforms' own ids
    text = re.sub(r"\b(history|record) \d+", r"\1 ID", text)  # apps that go at once are recorded as they end
    text = re.sub(r"127\.0\.0\.1:\d+", "SANDBOX", text)
    return re.sub(r"[ \t]+", " ", text)


def test_looking_prints_what_it_prints_on_a_machine_with_all_tokens(server: Server, ci: str) -> None:
    for line in (
        "status",
        "plan dev staging",
        "plan staging production",
        "diff staging production",
        "history",
        "history staging --json",
        "backups list staging",
        "lease show staging",
    ):
        mine, theirs = server.cloud.start(line), server.start_elsewhere(line, ci)
        here, there = server.cloud.end(mine, 0), server.cloud.end(theirs, 0)
        assert plain(there.out) == plain(here.out), line
    here, there = server.cloud.run("status --json"), server.ask("status --json", ci)
    assert there.document["apps"] == here.document["apps"]
    assert len(there.document["apps"]) == 3 * len(ALL)


@pytest.mark.promise("P7")
def test_what_is_run_there_ends_as_on_a_machine_with_all_tokens(
    server: Server, ci: str, make_cloud: Make, staged: Path
) -> None:
    """A promotion, one that fails, and a rollback: in two worlds alike, with tokens in the one and a server in the other."""
    here, there = make_cloud(staged), server.cloud
    here.configure(*GATES)
    before = there.runs("staging")
    for cloud in (here, there):
        cloud.publish("ITC")
        cloud.publish("SSO")

    def alike(line: str, code: int = 0) -> Ran:
        mine, theirs = here.start(line), server.start_elsewhere(line, ci)
        said, told = here.end(mine, code), there.end(theirs, code)
        there_said = plain(told.out).replace("token:ci via owner", "owner")
        # Apps that go at once end as they end.
        assert sorted(there_said.splitlines()) == sorted(plain(said.out).splitlines()), line
        assert here.runs("staging") == there.runs("staging"), line
        return told

    assert "done in" in alike("promote dev staging --yes").said
    assert there.runs("staging") == there.runs("dev") != before
    assert there.records("staging", "ITC")[-1]["payload"]["liftlock"]["requested_by"] == "token:ci"
    assert "token:ci" in server.ask("history staging", ci).said
    assert "Nothing to do" in alike("promote dev staging --yes").said

    for cloud in (here, there):
        cloud.publish("RESOURCE", seed="crashes", behaviour="crash")
    assert "put back" in alike("promote dev staging --yes", 1).said
    for cloud in (here, there):
        cloud.publish("RESOURCE", seed="mended")

    visitor = server.token("visitor", "--allow staging=see")
    assert "token:visitor may not" in server.ask("rollback staging --yes", visitor, code=3).said
    assert alike("rollback staging --yes").said
    assert there.runs("staging") == before
    assert ci not in (there.folder / "serve.log").read_text()


@pytest.mark.promise("P8")
def test_who_may_not_and_what_is_not_is_told(server: Server, ci: str) -> None:
    reader = server.token("reader", "--allow dev=see --allow staging=see")
    server.cloud.publish("ITC", seed="for nobody")
    before = server.cloud.runs("staging")
    refused = server.ask("promote dev staging --yes", reader, code=3)
    assert "token:reader may not promote to, roll back or resume staging." in refused.said
    assert "add them to `promote` in [environments.staging.roles]" in refused.said
    assert "token:reader may not" in server.ask("plan staging production", reader, code=3).said
    assert server.cloud.runs("staging") == before

    here, there = (
        server.cloud.run("promote dev stagging --yes", code=2),
        server.ask("promote dev stagging --yes", ci, code=2),
    )
    assert there.err == here.err
    assert "stagging" in there.err
    assert "There is no token for the server" in server.ask("status", code=2).said
    assert (
        "unknown, expired or revoked" in server.ask("status", "liftlock_" + "a" * 12 + "_" + "b" * 43, 1).said
    )
    down = server.ask("status", ci, 1, url="http://127.0.0.1:1")
    assert "The server at http://127.0.0.1:1 cannot be reached" in down.said
    assert "Check --server" in down.said
    assert "over plain http" in server.ask("status", ci, 2, url="http://liftlock.example.com").said
    assert "works on this machine alone" in server.ask("record staging", ci, 2).said


@pytest.mark.promise("P5")
def test_a_server_that_is_killed_meanwhile_loses_nothing(server: Server, ci: str) -> None:
    new = server.cloud.publish("ITC", seed="under way")
    server.cloud.settings(release_s=2.0)
    server.cloud.clear_log()
    asked = server.start_elsewhere("promote dev staging ITC --yes", ci)
    server.cloud.wait_until(lambda: server.cloud.requests("PATCH", "/formation$"))
    server.kill_web()
    server.start()
    server.cloud.settings(release_s=0)
    said = server.cloud.end(asked, 0).said
    assert "done in" in said
    assert server.cloud.images("ITC", "staging") == new
    assert len(server.cloud.requests("PATCH", "/formation$")) == 1


def test_a_second_person_approves_what_the_first_asks_for(server: Server) -> None:
    """Both sign in at GitHub; the approval is made with the second one's own token, which GitHub vouches for."""
    ada, grace, mallory = (server.sign_in(name) for name in ("ada", "grace", "mallory"))
    token = ada.token("dev/see", "staging/see", "production/see", "production/promote")
    digest = server.ask("plan staging production --json", token).document["digest"]
    refused = server.ask("promote staging production --yes", token, code=3)
    assert "approvals: 0 of 1 given" in refused.said

    place, action = "/plan/staging/production", "/environments/production/approve"
    assert f'action="{action}"' not in mallory.read(place)
    assert "You have approved this plan." in ada.follow(ada.send(place, action))
    assert (
        "0 of 1 given; ada's own does not count"
        in server.ask("promote staging production --yes", token, code=3).said
    )
    assert "You have approved this plan." in grace.follow(grace.send(place, action))
    assert "1 of 1 given (grace)" in ada.read(place)
    approvals = [one for one in server.cloud.intents("production") if one["task"] == "liftlock:approval"]
    assert [one["creator"] for one in approvals] == ["ada", "grace"]

    assert (
        "approvals: passed; 1 of 1 given (grace)"
        in server.ask("promote staging production --yes", token).said
    )
    assert server.cloud.runs("production") == server.cloud.runs("staging")
    (intent,) = [one for one in server.cloud.intents("production") if one["task"] == "liftlock:promotion"]
    assert intent["payload"]["liftlock"]["plan"] == digest
    own = grace.token("production/see", "production/approve")
    assert (
        "it has no token of grace's"
        in server.ask(f"approve {digest} --environment production", own, code=3).said
    )
