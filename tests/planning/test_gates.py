"""Gates say whether a plan may run, what is lacking, and when it could."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from liftlock.model import Approval, Gates
from liftlock.planning.gates import Facts, judge
from liftlock.planning.plan import Action, AppPlan, Verdict
from tests.doubles import START, deployment, release


def verdict_of(gates: Gates, now: datetime, facts: Facts | None = None) -> Verdict:
    new = release("ODB", "b")
    app = AppPlan("ODB", Action.RELEASE, "", new, source_deployment=deployment("ODB", "dev", new, 0))
    (verdict,) = judge(gates, apps=[app], drifted={}, now=now, facts=facts)
    return verdict


def test_soak_counts_from_the_record_in_the_source() -> None:
    gates = Gates(soak_s=7200)
    early = verdict_of(gates, START + timedelta(minutes=90))
    assert not early.holds
    assert early.reason == "ODB b000000 has run in dev for 90 min of 2 h 0 min"
    assert START + timedelta(hours=2) == early.passes_at
    assert verdict_of(gates, START + timedelta(hours=2)).passed


@pytest.mark.parametrize(
    ("now", "passed", "passes_at"),
    [
        # Santiago is UTC-3 in November.
        (datetime(2026, 11, 18, 12, 0, tzinfo=UTC), True, None),
        (datetime(2026, 11, 18, 11, 59, tzinfo=UTC), False, datetime(2026, 11, 18, 12, 0, tzinfo=UTC)),
        (datetime(2026, 11, 18, 19, 0, tzinfo=UTC), False, datetime(2026, 11, 19, 12, 0, tzinfo=UTC)),
        (datetime(2026, 11, 20, 15, 0, tzinfo=UTC), False, datetime(2026, 11, 23, 12, 0, tzinfo=UTC)),
    ],
)
def test_a_window_is_kept_in_its_own_time_zone(
    now: datetime, passed: bool, passes_at: datetime | None
) -> None:
    verdict = verdict_of(Gates(window="Mon-Thu 09:00-16:00 America/Santiago"), now)
    assert passed is verdict.passed
    if passes_at is not None:
        assert passes_at == verdict.passes_at


def test_a_window_may_go_over_midnight() -> None:
    gates = Gates(window="Fri 22:00-02:00 UTC")
    assert verdict_of(gates, datetime(2026, 11, 21, 1, 0, tzinfo=UTC)).passed
    assert not verdict_of(gates, datetime(2026, 11, 21, 3, 0, tzinfo=UTC)).passed


def test_approvals_that_nobody_gave_refuse() -> None:
    assert not verdict_of(Gates(approvals=1), START).holds
    given = Approval("alice", START, START + timedelta(hours=24))
    assert verdict_of(Gates(approvals=1), START, Facts(approvals=[given])).holds


def test_an_overridden_gate_holds_and_keeps_the_reason() -> None:
    verdict = judge(
        Gates(approvals=1),
        apps=[],
        drifted={},
        now=START,
        overrides={"approvals": "hotfix"},
    )[0]
    assert (verdict.holds, verdict.passed, verdict.overridden) == (True, False, "hotfix")
