"""How long a plan should take: pure, from records alone, and never part of what a plan is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from liftlock.model import App, Deployment, Kind, Release, StepTime
from liftlock.planning.estimates import Expected, expected_time
from liftlock.planning.make import make_plan
from liftlock.planning.plan import Plan
from tests.doubles import app_of, deployment, observation, project_of, release, seen

FULL = {"stage": 2.0, "release": 20.0, "verify": 30.0}


def record(app: str, took: Mapping[str, float], kind: Kind = Kind.PROMOTION) -> Deployment:
    made = deployment(app, "staging", release(app, "a"))
    return replace(made, kind=kind, steps={step: StepTime(0.0, seconds) for step, seconds in took.items()})


def plan(
    earlier: Mapping[str, Sequence[Deployment]],
    apps: Sequence[App] = (app_of("SSO"),),
    kind: Kind = Kind.PROMOTION,
    moved: Sequence[str] = (),
) -> Plan:
    def runs(app: str) -> Release:
        return release(app, "b" if app in moved else "a")

    observed = [
        seen(a.name, wanted=release(a.name, "b"), runs=runs(a.name), recorded=release(a.name, "a"))
        for a in apps
    ]
    return make_plan(
        project_of(*apps),
        replace(observation(*observed), earlier=earlier),
        kind=kind,
        environment="staging",
        source="dev" if kind is Kind.PROMOTION else "",
    )


def expected(made: Plan) -> dict[str, float]:
    return {step.id: step.expected_s for step in made.steps if step.expected_s is not None}


def test_without_records_nothing_is_expected() -> None:
    made = plan({})
    assert expected(made) == {}
    assert expected_time(made.steps) is None


def test_records_of_other_tools_tell_nothing() -> None:
    assert expected_time(plan({"SSO": [record("SSO", {})]}).steps) is None


def test_a_step_takes_the_median_of_the_last_five() -> None:
    took = [21.0, 20.0, 300.0, 22.0, 19.0, 900.0, 900.0]  # newest first
    made = plan({"SSO": [record("SSO", {**FULL, "release": seconds}) for seconds in took]})
    assert expected(made)["release:SSO"] == 21.0


def test_the_whole_is_as_long_as_the_longest_way() -> None:
    """ITC runs beside SSO, Explore after both: 2 to stage, 20 + 30 for SSO, 20 + 30 for Explore."""
    apps = [app_of("SSO"), app_of("ITC"), app_of("Explore", ["SSO", "ITC"])]
    earlier = {a.name: [record(a.name, FULL)] for a in apps}
    earlier["ITC"] = [record("ITC", {"stage": 1.0, "release": 5.0, "verify": 30.0})]
    assert expected_time(plan(earlier, apps).steps) == Expected(102.0, is_whole=True)
    assert expected_time(plan(earlier, apps[::-1]).steps) == Expected(102.0, is_whole=True)


def test_a_backup_that_takes_longer_than_staging_is_what_is_waited_for() -> None:
    apps = [app_of("SSO"), app_of("ODB")]
    earlier = {"SSO": [record("SSO", FULL)], "ODB": [record("ODB", {**FULL, "stage": 80.0})]}
    assert expected_time(plan(earlier, apps).steps) == Expected(130.0, is_whole=True)


def test_what_is_not_known_makes_it_at_least_so_long() -> None:
    apps = [app_of("SSO"), app_of("ITC")]
    assert expected_time(plan({"SSO": [record("SSO", FULL)]}, apps).steps) == Expected(52.0, is_whole=False)


def test_promotions_are_compared_with_promotions_where_there_are_any() -> None:
    rollback = record("SSO", {**FULL, "stage": 0.1}, Kind.ROLLBACK)
    assert expected(plan({"SSO": [rollback, record("SSO", FULL)]}))["stage:SSO"] == 2.0
    assert expected(plan({"SSO": [rollback]}))["stage:SSO"] == 0.1
    assert expected(plan({"SSO": [rollback, record("SSO", FULL)]}, kind=Kind.ROLLBACK))["stage:SSO"] == 0.1


def test_a_record_that_only_moved_forward_says_nothing_of_a_release() -> None:
    only_moved = record("SSO", {"verify": 0.2})
    assert expected(plan({"SSO": [only_moved, record("SSO", FULL)]}))["verify:SSO"] == 30.0
    moving = plan({"SSO": [record("SSO", FULL), only_moved]}, moved=["SSO"])
    assert expected(moving) == {"verify:SSO": 0.2}


def test_an_app_whose_record_alone_moves_is_not_missed() -> None:
    made = plan({"SSO": [record("SSO", FULL)]}, [app_of("SSO"), app_of("ITC")], moved=["ITC"])
    assert expected_time(made.steps) == Expected(52.0, is_whole=True)


def test_an_estimate_never_changes_a_plans_digest() -> None:
    assert plan({}).digest == plan({"SSO": [record("SSO", FULL)]}).digest
