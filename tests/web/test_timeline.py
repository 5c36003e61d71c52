"""A run's events as bars: what was, what is, and where what is to come should stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from liftlock.web.pictures.gantt import gantt
from liftlock.web.timeline import Bar, Mark, Progress, Timeline, heard
from tests.doubles import START


def event(name: str, at_s: float, **fields: Any) -> dict[str, Any]:
    return {"event": name, "at": (START + timedelta(seconds=at_s)).isoformat(), **fields}


PLAN = {
    "apps": {"SSO": {"release": {"commit": "b" * 40}}},
    "steps": [
        {"id": "intent", "kind": "intent", "app": None, "needs": [], "expected_s": None},
        {"id": "stage:SSO", "kind": "stage", "app": "SSO", "needs": ["intent"], "expected_s": 3.0},
        {"id": "backup:db", "kind": "backup", "app": "SSO", "needs": ["intent"], "expected_s": 10.0},
        {
            "id": "ready",
            "kind": "ready",
            "app": None,
            "needs": ["stage:SSO", "backup:db"],
            "expected_s": None,
        },
        {"id": "release:SSO", "kind": "release", "app": "SSO", "needs": ["ready"], "expected_s": None},
        {"id": "verify:SSO", "kind": "verify", "app": "SSO", "needs": ["release:SSO"], "expected_s": 5.0},
    ],
}
BEGUN = [
    event("plan", -1, plan=PLAN),
    event("run-started", 0, steps=5, apps=["SSO"], expected_s=18.0, expected_is_whole=False),
    event("step-started", 0, step="intent", kind="intent"),
    event("step-finished", 1, step="intent", kind="intent", outcome="done", elapsed_s=1.0, detail="77"),
    event("step-started", 1, step="stage:SSO", kind="stage", app="SSO", expected_s=3.0),
    event("step-started", 1, step="backup:db", kind="backup", app="SSO", expected_s=10.0),
    event("step-progress", 2, step="backup:db", text="half of it", app="SSO"),
]


def bars(told: Timeline) -> dict[str, tuple[str, float, float]]:
    return {bar.step: (bar.progress.value, bar.began_s, bar.ended_s) for bar in told.bars}


def test_what_is_to_come_stands_after_what_it_needs() -> None:
    told = heard(BEGUN, START + timedelta(seconds=2))
    assert bars(told) == {
        "intent": ("done", 0.0, 1.0),
        "stage:SSO": ("running", 1.0, 4.0),
        "backup:db": ("running", 1.0, 11.0),
        "release:SSO": ("planned", 11.0, 13.0),  # nobody knows how long: drawn as a guess
        "verify:SSO": ("planned", 13.0, 18.0),
    }
    assert told.marks == (Mark("ready", 11.0, is_passed=False),)
    assert told.is_guess
    assert (told.promotion, told.done, told.steps, told.now_s) == ("77", 1, 5, 2.0)
    assert told.commits == {"SSO": "b" * 40}


def test_what_takes_longer_than_expected_pushes_the_rest() -> None:
    told = bars(heard(BEGUN, START + timedelta(seconds=30)))
    assert told["backup:db"] == ("running", 1.0, 30.0)
    assert told["release:SSO"] == ("planned", 30.0, 32.0)


def test_after_a_failure_nothing_is_to_come_and_what_was_put_back_is_told() -> None:
    events = [
        *BEGUN,
        event("step-finished", 4, step="stage:SSO", kind="stage", outcome="done", elapsed_s=3.0, app="SSO"),
        event(
            "step-finished", 5, step="backup:db", kind="backup", outcome="failed", elapsed_s=4.0, app="SSO",
            detail="no room",
        ),
        event("stopping", 5, reason="backup:db failed"),
        event("run-finished", 6, outcome="failed", exit_code=1, elapsed_s=6.0, apps={"SSO": "untouched"}),
    ]  # fmt: skip
    told = heard(events, START + timedelta(hours=1))
    assert bars(told) == {
        "intent": ("done", 0.0, 1.0),
        "stage:SSO": ("done", 1.0, 4.0),
        "backup:db": ("failed", 1.0, 5.0),
    }
    assert told.marks == ()
    assert told.now_s is None
    assert [said.words for said in told.log] == [
        "stage done in 3.0 s",
        "backup failed: no room",
        "Stopping: backup:db failed. Nothing new is begun.",
    ]
    assert told.standings == {"SSO": "untouched"}


def test_nothing_was_told_yet() -> None:
    told = heard([], START)
    assert told.bars == ()
    assert gantt(told) is None


def test_bars_that_go_on_at_once_in_one_app_are_below_each_other() -> None:
    picture = gantt(heard(BEGUN, START + timedelta(seconds=2)), ["SSO"])
    assert picture is not None
    app, own = picture.rows
    assert (app.name, app.lanes, own.name) == ("SSO", 2, "")
    assert {drawn.bar.step: drawn.y for drawn in app.bars} == {
        "stage:SSO": 4,
        "backup:db": 22,
        "release:SSO": 4,
        "verify:SSO": 4,
    }
    (gate,) = picture.gates
    release = next(drawn for drawn in app.bars if drawn.bar.kind == "release")
    assert gate.x == release.x
    assert "backup goes on: half of it" in app.words


@pytest.mark.parametrize("total", [0.3, 4, 59, 700, 100_000])
def test_the_scale_has_some_ticks_whatever_the_length(total: float) -> None:
    picture = gantt(Timeline((Bar("a", "stage", "SSO", 0, total, Progress.DONE),)))
    assert picture is not None
    assert 1 <= len(picture.ticks) <= 25
    assert all(0 <= x <= 100 for x, _ in picture.ticks)


def test_names_of_gates_never_cover_each_other() -> None:
    marks = tuple(
        Mark(kind, at, is_passed=False)
        for kind, at in (("ready", 8.0), ("point of no return", 8.5), ("verified", 9.0))
    )
    picture = gantt(Timeline((Bar("a", "stage", "SSO", 0, 10, Progress.DONE),), marks))
    assert picture is not None
    assert len({gate.y for gate in picture.gates}) == 3
