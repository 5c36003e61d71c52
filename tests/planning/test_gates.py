"""Gates say whether a plan may run, what is lacking, and when it could."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from liftlock.model import Approval, GateCommand, Gates, Review, Unknown, WorkflowRun
from liftlock.planning.gates import GATES, Facts, judge
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


LET_IN = Review("bob", approved=True, environments=("promote-production",))
RUN = WorkflowRun(("alice",), attempt=1, is_running=True)
BOT = "github-actions[bot]"


@pytest.mark.parametrize(
    ("requester", "run", "passed", "words"),
    [
        (BOT, replace(RUN, reviews=(LET_IN,)), True, "1 of 1 given (bob, who reviewed this run)"),
        ("app", replace(RUN, reviews=(LET_IN,)), True, "1 of 1 given (bob, who reviewed this run)"),
        (BOT, replace(RUN, reviews=(replace(LET_IN, environments=("production",)),)), True, "1 of 1 given"),
        (BOT, RUN, False, "0 of 1 given"),
        (BOT, replace(RUN, reviews=(replace(LET_IN, approved=False),)), False, "0 of 1 given"),
        (
            BOT,
            replace(RUN, reviews=(replace(LET_IN, environments=("promote-staging",)),)),
            False,
            "0 of 1 given",
        ),
        (BOT, replace(RUN, reviews=(replace(LET_IN, account="Alice"),)), False, "Alice's own does not count"),
        (
            BOT,
            replace(RUN, started_by=("alice", "bob"), reviews=(LET_IN,)),
            False,
            "bob's own does not count",
        ),
        (BOT, replace(RUN, started_by=(), reviews=(LET_IN,)), False, "does not say who started it"),
        (BOT, replace(RUN, attempt=2, reviews=(LET_IN,)), False, "it was started again"),
        (BOT, replace(RUN, is_running=False, reviews=(LET_IN,)), False, "it is not in progress"),
        ("carol", replace(RUN, reviews=(LET_IN,)), False, "the token is carol's"),
        (BOT, Unknown("GitHub refused: 403"), False, "0 of 1 known to be given: GitHub refused: 403"),
    ],
)
def test_a_review_of_the_run_counts_in_its_job_alone(
    requester: str, run: WorkflowRun | Unknown, passed: bool, words: str
) -> None:
    facts = Facts(
        requester=requester, approvals=(), workflow=run, job_environments=("promote-production", "production")
    )
    verdict = verdict_of(Gates(approvals=1), START, facts)
    assert verdict.holds is passed
    assert words in verdict.reason


def test_whoever_started_the_run_cannot_approve_what_it_asks_for() -> None:
    own = Approval("Alice", START, START + timedelta(hours=24))
    verdict = verdict_of(Gates(approvals=1), START, Facts(requester=BOT, approvals=[own], workflow=RUN))
    assert not verdict.holds
    assert "Alice's own does not count" in verdict.reason


def test_for_whom_a_server_asks_cannot_approve_what_it_asks_for() -> None:
    """The server's own account asks GitHub, and the person for whom it does approves with their own."""
    own, others = (Approval(who, START, START + timedelta(hours=24)) for who in ("Ada", "grace"))
    facts = Facts(requester="deployer", acting_for="ada", approvals=[own])
    assert "Ada's own does not count" in verdict_of(Gates(approvals=1), START, facts).reason
    assert verdict_of(Gates(approvals=1), START, replace(facts, approvals=[own, others])).holds


def test_an_approval_and_a_review_of_one_person_count_once() -> None:
    given = Approval("bob", START, START + timedelta(hours=24))
    facts = Facts(
        requester=BOT,
        approvals=[given],
        workflow=replace(RUN, reviews=(LET_IN, replace(LET_IN, account="carol"))),
        job_environments=("promote-production",),
    )
    assert verdict_of(Gates(approvals=2), START, facts).holds
    assert not verdict_of(Gates(approvals=3), START, facts).holds


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


CHRISTMAS = "2026-12-20 .. 2027-01-04 America/Santiago"
THAW = datetime(2027, 1, 5, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("freezes", "now", "passes_at"),
    [
        # Santiago is UTC-3 in December: both days belong to the freeze, by its own midnight.
        ((CHRISTMAS,), datetime(2026, 12, 20, 2, 59, tzinfo=UTC), None),
        ((CHRISTMAS,), datetime(2026, 12, 20, 3, 0, tzinfo=UTC), THAW),
        ((CHRISTMAS,), datetime(2027, 1, 5, 2, 59, tzinfo=UTC), THAW),
        ((CHRISTMAS,), THAW, None),
        (("2026-12-20 18:00 .. 2026-12-21 08:00 UTC",), datetime(2026, 12, 20, 17, 59, tzinfo=UTC), None),
        (
            ("2026-12-20 18:00 .. 2026-12-21 08:00 UTC",),
            datetime(2026, 12, 20, 18, 0, tzinfo=UTC),
            datetime(2026, 12, 21, 8, 0, tzinfo=UTC),
        ),
        # One that begins before another ends makes one long freeze of both.
        (
            ("2027-01-04 .. 2027-01-06 UTC", CHRISTMAS),
            datetime(2026, 12, 24, 12, 0, tzinfo=UTC),
            datetime(2027, 1, 7, 0, 0, tzinfo=UTC),
        ),
    ],
)
def test_a_freeze_holds_from_its_first_day_to_its_last(
    freezes: tuple[str, ...], now: datetime, passes_at: datetime | None
) -> None:
    verdict = verdict_of(Gates(freeze=freezes), now)
    assert verdict.passed is (passes_at is None)
    assert verdict.passes_at == passes_at


def test_a_freeze_ahead_is_told() -> None:
    verdict = verdict_of(Gates(freeze=(CHRISTMAS,)), datetime(2026, 12, 19, 12, 0, tzinfo=UTC))
    assert verdict.reason == "nothing is frozen; the next freeze begins Sun 2026-12-20 00:00 -03"


@pytest.mark.parametrize("gate", [name for name in GATES if name != "drift"])
def test_no_gate_passes_on_facts_that_nobody_knows(gate: str) -> None:
    """Or it needs none: then time alone decides it, and here it is against it."""
    against = Gates(
        approvals=1,
        soak_s=7200,
        window="Mon 09:00-10:00 UTC",
        freeze=("2026-11-01 .. 2026-12-01 UTC",),
        checks=True,
        source_healthy=True,
        backup_age_s=60,
        command=GateCommand(("./ok",)),
    )
    new = release("ODB", "b")
    app = AppPlan("ODB", Action.RELEASE, "", new, source_deployment=deployment("ODB", "dev", new, 0))
    verdicts = {v.gate: v for v in judge(against, apps=[app], drifted={}, now=START)}
    assert set(verdicts) == set(GATES) - {"drift"}
    assert not verdicts[gate].holds
    assert verdicts[gate].reason


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_can_be_overridden_by_its_name(gate: str) -> None:
    against = Gates(1, 7200, "Mon 09:00-10:00 UTC", ("2026-11-01 .. 2026-12-01 UTC",), True, True, 60)
    against = replace(against, command=GateCommand(("./ok",)))
    new = release("ODB", "b")
    app = AppPlan("ODB", Action.RELEASE, "", new, source_deployment=deployment("ODB", "dev", new, 0))
    verdicts = judge(
        against, apps=[app], drifted={"ODB": "web is missing"}, now=START, overrides={gate: "hotfix"}
    )
    assert {v.gate: v.overridden for v in verdicts if v.holds} == {gate: "hotfix"}


def test_soak_is_told_for_the_app_that_takes_longest() -> None:
    apps, ran = [], {}
    for app, minute in (("SSO", 0), ("ODB", 30)):
        new = release(app, "b")
        record = replace(deployment(app, "dev", new, 0), created_at=START + timedelta(minutes=minute))
        apps.append(AppPlan(app, Action.RELEASE, "", new, source_deployment=record))
        ran[app] = [record]
    (verdict,) = judge(
        Gates(soak_s=7200), apps=apps, drifted={}, now=START + timedelta(hours=1), facts=Facts(ran=ran)
    )
    assert verdict.reason == "ODB b000000 has run in dev for 30 min of 2 h 0 min (and 1 more)"
    assert verdict.passes_at == START + timedelta(minutes=150)
