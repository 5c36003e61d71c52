"""Ctrl-C and SIGTERM: nothing new begins, what was switched goes back, and the exit code says so."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, Ran, state_of

pytestmark = pytest.mark.e2e

SLOW_S = 1.5
SETTLE = 'settle = "1500ms"'


def capture_begun(cloud: Cloud) -> bool:
    return bool(cloud.requests("POST", "/backups$"))


def switch_begun(cloud: Cloud) -> bool:
    return bool(cloud.requests("PATCH", "/formation$"))


def being_verified(cloud: Cloud) -> bool:
    """The switch is over and its dynos are looked at."""
    return bool(cloud.requests("GET", "lucuma-sso-staging/dynos"))


def interrupt(
    cloud: Cloud, when: Callable[[Cloud], bool], number: signal.Signals, code: int, line: str
) -> Ran:
    """Run a command, send it a signal once the world is so, and wait for its end."""
    cloud.clear_log()
    process = cloud.start(line)
    cloud.wait_until(lambda: when(cloud) or process.poll() is not None)
    process.send_signal(number)
    return cloud.end(process, code)


def prepare(cloud: Cloud) -> tuple[Any, Any]:
    """A new version of SSO and ODB, and what is before."""
    cloud.configure('settle = "50ms"', SETTLE)
    cloud.publish("SSO")
    cloud.publish("ODB")
    return cloud.runs("staging"), cloud.records("staging")


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    ("slow", "when"),
    [("backup_s", capture_begun), ("release_s", switch_begun), ("", being_verified)],
    ids=["backup", "release", "verify"],
)
def test_ctrl_c_leaves_everything_as_before(cloud: Cloud, slow: str, when: Callable[[Cloud], bool]) -> None:
    before = prepare(cloud)
    if slow:
        cloud.settings(**{slow: SLOW_S})
    ran = interrupt(cloud, when, signal.SIGINT, 130, "promote dev staging --yes")
    assert "SIGINT" in ran.said
    assert (cloud.runs("staging"), cloud.records("staging")) == before
    assert cloud.up("SSO", "staging") == {"web.1": before[0]["SSO"]["web"]}
    assert cloud.requests("PATCH", "odb-staging/formation$") == [], "nothing new was begun"
    assert state_of(cloud.intents("staging")[-1]) == "failure"
    cloud.settings(backup_s=0, release_s=0)
    cloud.run("promote dev staging --yes")
    assert cloud.runs("staging") == cloud.runs("dev")


def test_sigterm_is_143(cloud: Cloud) -> None:
    before = prepare(cloud)
    interrupt(cloud, being_verified, signal.SIGTERM, 143, "promote dev staging --yes")
    assert (cloud.runs("staging"), cloud.records("staging")) == before
    assert state_of(cloud.intents("staging")[-1]) == "failure"


def test_a_rollback_is_interrupted_as_well(cloud: Cloud) -> None:
    prepare(cloud)
    cloud.configure(SETTLE, 'settle = "50ms"')
    cloud.run("promote dev staging --yes")
    before = cloud.runs("staging"), cloud.records("staging")
    cloud.configure('settle = "50ms"', SETTLE)
    interrupt(cloud, being_verified, signal.SIGINT, 130, "rollback staging --yes")
    assert (cloud.runs("staging"), cloud.records("staging")) == before


@pytest.mark.promise("P5")
@pytest.mark.promise("P8")
def test_a_second_ctrl_c_leaves_it_open_and_says_so(cloud: Cloud) -> None:
    """Then nothing else begins there until somebody finishes or undoes it."""
    before = prepare(cloud)
    cloud.settings(release_s=20)
    cloud.clear_log()
    process = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: switch_begun(cloud))
    process.send_signal(signal.SIGINT)
    heard = _read_until(process, "Once more to leave it as it stands")
    process.send_signal(signal.SIGINT)
    ran = cloud.end(process, 130)
    assert "stays open" in ran.err, heard
    assert "liftlock resume" in ran.err
    assert state_of(cloud.intents("staging")[-1]) in (None, "in_progress")
    assert cloud.records("staging") == before[1]

    cloud.settings(release_s=0)
    cloud.run("promote dev staging --yes", code=4)
    assert "open" in cloud.run("status staging").out

    cloud.run('lease break staging --reason "it was left"')
    assert "liftlock resume staging" in cloud.run("promote dev staging --yes", code=4).err
    cloud.run("resume staging --undo --yes")
    assert (cloud.runs("staging"), cloud.records("staging")) == before
    assert state_of(cloud.intents("staging")[-1]) == "failure"


def test_ctrl_c_while_planning_ends_at_once(cloud: Cloud) -> None:
    """Before the first change there is nothing to settle."""
    cloud.publish("ITC")
    before = cloud.runs("staging"), cloud.deployments()
    rule = cloud.fault(vendor="heroku", method="GET", action="hang")
    process = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: cloud.fault_applied(rule))
    process.send_signal(signal.SIGINT)
    cloud.wait_until(lambda: process.poll() is not None)
    cloud.end(process, 130)
    assert (cloud.runs("staging"), cloud.deployments()) == before


def _read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what a command says up to some words, without keeping anything from `communicate`."""
    assert process.stdout is not None
    heard = ""
    while words not in heard:
        part = os.read(process.stdout.fileno(), 4096).decode(errors="replace")
        assert part, heard
        heard += part
    return heard
