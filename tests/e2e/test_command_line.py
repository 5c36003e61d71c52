"""What is typed wrongly is named, what goes where is kept apart, and nothing is changed by looking."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.cloud import LONG_S, Cloud

pytestmark = pytest.mark.e2e


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("promote dev staging --dryrun", ["--dryrun", "--dry-run"]),
        ("promote dev staging --yess --dry-run", ["--yess"]),
        ("promote dev stagin --yes", ["no environment 'stagin'", "Did you mean staging?"]),
        ("promote dev staging SOS --yes", ["no app 'SOS'", "Did you mean SSO?"]),
        ("promote dev", ["SOURCE and TARGET", "For example"]),
        ("promote staging dev --yes", ["dev is not promoted from staging", "nothing is promoted to it"]),
        ("promote production staging --yes", ["staging is not promoted from production", "dev"]),
        ("promote dev staging --override soak", ["--override and --reason go together"]),
        ("promote dev staging --on-failure explode", ["explode"]),
        ("promote --plan nowhere.json", ["nowhere.json", "could not be read"]),
        ("promot dev staging", ["promot"]),
        ("rollback stagin --yes", ["no environment 'stagin'", "Did you mean staging?"]),
        ("status prod", ["no environment 'prod'"]),
        ("history prod", ["no environment 'prod'"]),
        ("status --config nowhere.toml", ["nowhere.toml"]),
        ("promote dev staging", ["not a terminal", "--yes"]),
    ],
)
def test_a_wrong_command_line_is_exit_2(shared: Cloud, line: str, words: list[str]) -> None:
    if line == "promote dev staging":
        shared.publish("ITC", seed="to be asked for")
    before = shared.runs("staging"), shared.deployments()
    ran = shared.run(line, code=2)
    for word in words:
        assert word in " ".join(ran.err.split()), ran.err
    assert (shared.runs("staging"), shared.deployments()) == before


@pytest.mark.promise("P8")
def test_every_mistake_of_the_configuration_is_told(cloud: Cloud) -> None:
    cloud.configure("[apps.ITC]", '[apps.ITC]\nafter = ["SOS"]\nherok = "x"')
    ran = cloud.run("plan dev staging", code=2)
    for word in ("SOS", "SSO", "herok", "heroku", "liftlock.toml:"):
        assert word in ran.err


def test_a_mix_of_loopback_and_public_endpoints_is_refused(shared: Cloud) -> None:
    ran = shared.run("plan dev staging", code=2, variables={"HEROKU_API_URL": "https://api.heroku.com"})
    assert "Endpoints on this machine and public ones are mixed" in ran.err
    assert "HEROKU_API_URL" in ran.err


def test_plain_http_goes_to_loopback_alone(shared: Cloud) -> None:
    ran = shared.run("plan dev staging", code=2, variables={"HEROKU_API_URL": "http://heroku.example"})
    assert "https" in ran.err


def test_version_and_help(shared: Cloud) -> None:
    assert shared.run("--version").out.startswith("liftlock ")
    said = shared.run("--help").out
    for command in ("plan", "promote", "rollback", "deploy", "status", "history", "sandbox", "demo"):
        assert command in said


@pytest.mark.parametrize("command", ["sandbox", "demo"])
@pytest.mark.promise("P8")
def test_without_the_extra_the_line_that_installs_it_is_said(bare_program: Path, command: str) -> None:
    done = subprocess.run(
        [bare_program, command], capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert done.returncode != 0
    assert "pip install 'liftlock[sandbox]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_looking_only_reads(shared: Cloud) -> None:
    shared.publish("ITC", seed="to be looked at")
    shared.clear_log()
    shared.run("status")
    shared.run("plan dev staging")
    shared.run("history")
    shared.run("promote dev staging --dry-run")
    log = shared.requests()
    assert len(log) > 20
    assert [
        (one["method"], one["path"])
        for one in log
        if one["method"] not in {"GET", "HEAD"} and not one["path"].endswith("/resolve")
    ] == []


def test_json_is_one_document_and_all_else_is_on_standard_error(cloud: Cloud) -> None:
    assert cloud.run("plan dev staging --json").document["kind"] == "promotion"
    assert {"apps", "open"} <= cloud.run("status --json").document.keys()
    assert cloud.run("history --json").document[0]["kind"] == "promotion"
    cloud.publish("ITC")
    ran = cloud.run("promote dev staging --yes --json")
    assert ran.document["exit_code"] == 0
    assert ran.document["records"].keys() == {"ITC"}
    assert ran.document["promotion"] == str(cloud.intents("staging")[-1]["id"])
    assert "Promotion of observatory" in ran.err
    cloud.publish("ITC", seed="crashes", behaviour="crash")
    failed = cloud.run("promote dev staging --yes --json", code=1)
    assert failed.document["exit_code"] == 1
    assert failed.document["failed_step"] == "verify:ITC"
    assert failed.document["apps"] == {"ITC": "old"}


def test_events_are_lines_of_json_that_tell_the_whole_run(cloud: Cloud) -> None:
    cloud.publish("SSO")
    cloud.publish("ITC")
    ran = cloud.run("promote dev staging --yes --events")
    events = ran.events
    assert [events[0]["event"], events[-1]["event"]] == ["run-started", "run-finished"]
    assert sorted(events[0]["apps"]) == ["ITC", "SSO"]
    assert events[-1]["exit_code"] == 0
    order = [one["step"] for one in events if one["event"] == "step-finished" and one["outcome"] == "done"]
    for app in ("SSO", "ITC"):
        steps = [f"{kind}:{app}" for kind in ("stage", "release", "verify", "record")]
        assert [step for step in order if step in steps] == steps
    assert max(order.index(s) for s in order if s.startswith("verify:")) < order.index("record:SSO")
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)


def test_a_wait_is_an_event(cloud: Cloud) -> None:
    cloud.publish("ITC")
    wait = {"status": 429, "headers": {"Retry-After": "1"}, "times": 1}
    cloud.fault(vendor="heroku", method="PATCH", action="status", **wait)
    events = cloud.run("promote dev staging --yes --events").events
    (waiting,) = [one for one in events if one["event"] == "waiting"]
    assert (waiting["vendor"], round(waiting["seconds"])) == ("Heroku", 1)


def in_a_terminal(
    cloud: Cloud, line: str, typed: str = "", variables: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command as in a terminal, type when asked, and give its exit code and all that it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # A session leader whose terminal this is, so that Ctrl-C reaches it as a signal.
        [sys.executable, "-c", OWN_TERMINAL, str(cloud.program), *line.split()],
        cwd=cloud.workspace.services.folder,
        env={**cloud.variables, "TERM": "xterm-256color", "COLUMNS": "120", **(variables or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, until = b"", time.monotonic() + LONG_S
    # On Linux the reading end fails once nobody has the other end open.
    with contextlib.suppress(OSError):
        while time.monotonic() < until and select.select([ours], [], [], LONG_S)[0]:
            shown += os.read(ours, 65536)
            if typed and b"[y/N]" in shown:
                os.write(ours, typed.encode())
                typed = ""
    os.close(ours)
    return process.wait(LONG_S), shown.decode(errors="replace")


OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.promise("P8")
def test_ctrl_c_at_the_question_ends_at_once(cloud: Cloud) -> None:
    cloud.publish("ITC")
    before = cloud.runs("staging"), cloud.deployments()
    code, shown = in_a_terminal(cloud, "promote dev staging", "\x03")
    assert code == 130
    assert "staging was not changed" in shown
    assert (cloud.runs("staging"), cloud.deployments()) == before


def test_a_promotion_is_asked_for_declined_and_agreed_to(cloud: Cloud) -> None:
    new = cloud.publish("ITC")
    before = cloud.runs("staging"), cloud.deployments()
    code, shown = in_a_terminal(cloud, "promote dev staging", "n\n")
    assert code == 1
    assert "Change staging? [y/N]" in shown
    assert "Declined; staging was not changed." in shown
    assert (cloud.runs("staging"), cloud.deployments()) == before
    code, shown = in_a_terminal(cloud, "promote dev staging", "yes\n")
    assert code == 0
    assert cloud.images("ITC", "staging") == new


def test_colours_are_for_terminals_that_want_them(shared: Cloud) -> None:
    assert "\x1b[" in in_a_terminal(shared, "plan staging production")[1]
    for line, variables in (
        ("plan staging production", {"NO_COLOR": "1"}),
        ("plan staging production --no-color", {}),
    ):
        shown = in_a_terminal(shared, line, variables=variables)[1]
        assert "Promotion of observatory" in shown
        assert not any(f"\x1b[{n}" in shown for n in ("1;3", "3", "9")), shown
    assert "\x1b" not in shared.run("plan staging production").out


@pytest.mark.parametrize("line", ["plan staging production", "plan staging production --json", "status"])
def test_a_reader_that_leaves_is_no_defect(shared: Cloud, line: str) -> None:
    process = shared.start(line)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(LONG_S) == 1
    assert told == ""


def test_saved_documents_are_json(shared: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    shared.run(f"plan staging production --out {path}")
    assert json.loads(path.read_text())["liftlock_plan"] == 1
    assert "could not be saved" in shared.run(f"plan staging production --out {tmp_path}", code=2).err
