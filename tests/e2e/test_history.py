"""`history` and what `plan` knows of it, as people and programs see them."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e.cloud import Cloud

pytestmark = pytest.mark.e2e


def test_one_promotion_in_detail(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.run("promote dev staging --yes")
    intent = cloud.intents("staging")[-1]
    document = cloud.run(f"history {intent['id']} --json").document
    assert (document["id"], document["kind"], document["outcome"]) == (
        str(intent["id"]),
        "promotion",
        "success",
    )
    assert document["took_s"] >= 0
    assert document["plan"] == intent["payload"]["liftlock"]["plan"]
    sso = document["apps"]["SSO"]
    assert sso["record"] == str(cloud.records("staging", "SSO")[-1]["id"])
    assert sso["before"] == cloud.records("staging", "SSO")[-2]["sha"]
    assert sso["steps"].keys() == {"stage", "backup", "release", "verify"}
    assert sso["steps"]["release"]["began_s"] >= sso["steps"]["backup"]["took_s"]
    assert [(b["app"], b["size_bytes"] > 0) for b in document["backups"]] == [("SSO", True)]
    for width in (60, 80, 120):
        out = cloud.run(f"history {intent['id']}", variables={"COLUMNS": str(width)}).out
        bars = [line for line in out.splitlines() if "█" in line]
        assert [line.split("█")[0].replace("·", "").split() for line in bars] == [
            ["SSO", "stage"],
            ["back", "up"],
            ["switch"],
            ["verify"],
        ]
        assert max(map(len, bars)) <= width


def test_history_is_filtered(cloud: Cloud) -> None:
    cloud.publish("ITC")
    cloud.run("promote dev staging --yes")
    newest = str(cloud.intents("staging")[-1]["id"])
    assert [one["id"] for one in cloud.run("history staging --limit 1 --json").document] == [newest]
    of_explore = cloud.run("history staging --app Explore --since 1d --json").document
    assert [one["kind"] for one in of_explore] == ["promotion"]
    assert newest not in [one["id"] for one in of_explore]
    by_workflow = cloud.run("history dev --by workflow --json").document
    assert by_workflow
    assert {one["kind"] for one in by_workflow} == {"record of another tool"}
    assert cloud.run("history --until 2020-01-01 --json").document == []
    assert "Did you mean workflow?" in cloud.run("history --by workflw").out


def test_history_asks_no_more_than_it_shows(cloud: Cloud) -> None:
    """Of a promotion its status, and of every app one page: not every status of every record."""
    cloud.clear_log()
    cloud.run("history --limit 1")
    statuses = cloud.requests("GET", "/statuses")
    assert len(statuses) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("history 99999999", ["99999999", "liftlock history"]),
        ("history stagng", ["Did you mean staging?"]),
        ("history --app SS", ["no app 'SS'", "Did you mean SSO?"]),
        ("history --since tomorrow", ["--since 2d"]),
        ("history --limit 0", ["--limit"]),
        ("history 12 --by owner", ["one promotion"]),
    ],
)
def test_mistakes_are_told_with_a_way_on(shared: Cloud, line: str, words: list[str]) -> None:
    ran = shared.run(line, code=2)
    for word in words:
        assert word in ran.err


def test_a_plan_says_how_long_it_should_take(cloud: Cloud) -> None:
    cloud.publish("SSO")
    before = cloud.run("plan dev production --json").document
    assert before["expected"] is None
    assert "unknown" in cloud.run("plan dev production").out
    made = cloud.run("plan dev staging --json").document
    assert made["expected"]["is_whole"]
    steps = {step["id"]: step["expected_s"] for step in made["steps"]}
    assert made["expected"]["seconds"] >= steps["release:SSO"] + steps["verify:SSO"]
    said = cloud.run("plan dev staging").said
    assert "by what the last records in staging took" in said
    assert "back to what runs now: SSO (v" in said


def test_a_pipe_that_is_closed_early_is_no_defect(shared: Cloud) -> None:
    for line in ("rollback staging --dry-run", "history", "plan dev staging"):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{shared.program} {line} | true"],
            cwd=shared.folder / "services",
            env=shared.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
