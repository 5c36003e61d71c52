"""The four numbers: tables of changes in, numbers out."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from liftlock.web.numbers import Change, Numbers, Outcome, numbers, report
from tests.doubles import START

UNTIL = START + timedelta(days=14)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def change(
    id_: str,
    began_h: float,
    took_h: float | None = 1.0,
    outcome: Outcome = Outcome.SUCCEEDED,
    committed_h: float | None = None,
    apps: str = "SSO",
    reverts: str = "",
) -> Change:
    commits = dict.fromkeys(apps.split(), None if committed_h is None else at(committed_h))
    return Change(
        id_,
        "staging",
        at(began_h),
        None if took_h is None else at(began_h + took_h),
        outcome,
        commits,
        bool(reverts),
        tuple(filter(None, reverts.split(","))),
    )


def told(*changes: Change, app: str = "") -> Numbers:
    return numbers(changes, "staging", app, START, UNTIL)


HOUR = 3600.0
FAILED, MIXED, OPEN = Outcome.FAILED, Outcome.MIXED, Outcome.OPEN
CASES = {
    "nothing happened": ([], (0, None, None, None)),
    "one that succeeded": ([change("1", 10, committed_h=4)], (1, 7 * HOUR, 0.0, None)),
    "a commit whose time is not known": ([change("1", 10)], (1, None, 0.0, None)),
    "a commit from the future is a clock that is wrong": (
        [change("1", 10, committed_h=99)],
        (1, None, 0.0, None),
    ),
    "one that goes on is no change yet": ([change("1", 10, None, OPEN)], (0, None, None, None)),
    "one that failed and was put back": ([change("1", 10, 2, FAILED, 4)], (0, None, 1.0, 2 * HOUR)),
    "one that was rolled back": (
        [change("1", 10, 1, committed_h=4), change("2", 15, 1, reverts="1")],
        (1, 7 * HOUR, 1.0, 5 * HOUR),
    ),
    "a rollback that failed took nothing back": (
        [change("1", 10, 1), change("2", 15, 1, FAILED, reverts="1")],
        (1, None, 0.0, None),
    ),
    "a rollback is no deployment": ([change("2", 15, 1, reverts="gone")], (0, None, None, None)),
    "a rollback of several": (
        [change("1", 1), change("2", 5), change("3", 9, 1, reverts="1,2")],
        (2, None, 1.0, 6 * HOUR),  # eight hours for the first one, four for the second
    ),
    "what a person had to see to ends with the next success": (
        [change("1", 10, 1, MIXED), change("2", 20, 1)],
        (1, None, 0.5, 11 * HOUR),
    ),
    "what is not restored yet has no time": ([change("1", 10, 1, MIXED)], (0, None, 1.0, None)),
    "what is restored is what had failed": (
        [change("1", 10, 1, MIXED, apps="SSO"), change("2", 20, 1, apps="ITC")],
        (1, None, 0.5, None),
    ),
    "before the days that are asked for": ([change("1", -50)], (0, None, None, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_four_numbers(case: str) -> None:
    changes, (deployments, lead, rate, restore) = CASES[case]
    found = told(*changes)
    assert (found.deployments, found.lead_time_s, found.failure_rate, found.restore_s) == (
        deployments,
        lead,
        rate,
        restore,
    )
    assert found.per_day == pytest.approx(deployments / 14)


def test_a_promotion_of_many_apps_is_one_deployment_and_many_lead_times() -> None:
    found = told(change("1", 10, committed_h=4, apps="SSO ITC ODB"))
    assert (found.deployments, found.lead_times) == (1, 3)


def test_an_app_has_numbers_of_its_own() -> None:
    changes = [change("1", 10, committed_h=4, apps="SSO ITC"), change("2", 20, 1, FAILED, apps="ITC")]
    assert told(*changes, app="SSO").failure_rate == 0.0
    assert told(*changes, app="ITC").failure_rate == 0.5
    assert told(*changes, app="ITC").lead_times == 1


def test_weeks_hold_every_change_once() -> None:
    found = told(
        change("1", 1), change("2", 200), change("3", 201, 1, FAILED), change("4", 300, 1, reverts="2")
    )
    assert [(week.succeeded, week.failed) for week in found.weeks] == [(1, 0), (0, 2)]


def test_the_report_has_every_environment_and_app() -> None:
    found = report([change("1", 10)], ["dev", "staging"], ["SSO", "ITC"], UNTIL, 14)
    assert found.environments["staging"].deployments == 1
    assert found.environments["dev"].deployments == 0
    assert found.apps["staging", "SSO"].deployments == 1
    assert found.apps["staging", "ITC"].deployments == 0
