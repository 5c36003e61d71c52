"""What a plan does with each app, and in which order. Observations in, plan out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.model import (
    Artifact,
    Database,
    Kind,
    Known,
    Missing,
    Project,
    RecordedId,
    Release,
    Undo,
    Unknown,
)
from liftlock.planning.document import plan_document, saved_plan
from liftlock.planning.make import make_plan
from liftlock.planning.observation import AppObservation
from liftlock.planning.plan import Action, Plan, StepKind
from tests.doubles import app_of, image, observation, project_of, release, seen


def plan_of(project: Project, *apps: AppObservation, **options: object) -> Plan:
    return make_plan(
        project,
        observation(*apps),
        kind=Kind.PROMOTION,
        environment="staging",
        source="dev",
        **options,  # type: ignore[arg-type]
    )


NEW, OLD = release("ODB", "b"), release("ODB", "a")


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("what", "observed", "action", "why"),
    [
        ("new artifacts", seen("ODB", wanted=NEW, recorded=OLD), Action.RELEASE, "differs: web"),
        (
            "nothing there yet",
            seen("ODB", wanted=NEW),
            Action.RELEASE,
            "first release",
        ),
        ("the same", seen("ODB", wanted=NEW, recorded=NEW), Action.UNCHANGED, "same artifacts, and they run"),
        (
            "rebuilt at the same commit",
            seen("ODB", wanted=Release("ODB", OLD.commit, {"web": image("rebuilt")}), recorded=OLD),
            Action.RELEASE,
            "rebuilt at the same commit",
        ),
        (
            "same image at another commit",
            seen("ODB", wanted=Release("ODB", NEW.commit, OLD.artifacts), recorded=OLD),
            Action.RECORD,
            "same artifacts at another commit; only the record moves",
        ),
        (
            "runs but is not recorded",
            seen("ODB", wanted=NEW, runs=NEW),
            Action.RECORD,
            "it runs already and has no record",
        ),
        (
            "recorded but something else runs",
            seen("ODB", wanted=NEW, recorded=NEW, runs=OLD),
            Action.RELEASE,
            "rebuilt at the same commit",
        ),
        (
            "unknown is never unchanged",
            seen("ODB", wanted=NEW, recorded=NEW, runs=Unknown("formation without image ids")),
            Action.RELEASE,
            "what runs could not be told (formation without image ids)",
        ),
        (
            "a record that names no artifact would empty the target",
            seen("ODB", wanted=Release("ODB", NEW.commit, {}), recorded=OLD),
            Action.BLOCKED,
            "its record at b000000 names no artifact",
        ),
        (
            "no record in the source",
            seen("ODB", wanted=Missing("ODB has no deployment record in dev")),
            Action.BLOCKED,
            "ODB has no deployment record in dev",
        ),
        (
            "an image that is gone",
            seen("ODB", wanted=NEW, recorded=OLD, located=Missing("web of ODB is in no repository")),
            Action.BLOCKED,
            "web of ODB is in no repository",
        ),
        (
            "gone, but it runs already",
            seen("ODB", wanted=NEW, recorded=NEW, located=Missing("web of ODB is in no repository")),
            Action.UNCHANGED,
            "same artifacts, and they run",
        ),
    ],
)
def test_an_app_is_changed_by_its_artifacts(
    what: str, observed: AppObservation, action: Action, why: str
) -> None:
    made = plan_of(project_of(app_of("ODB")), observed)
    assert (action, why) == (made.apps["ODB"].action, made.apps["ODB"].why), what


def test_an_unchanged_plan_has_no_steps() -> None:
    made = plan_of(project_of(app_of("ODB")), seen("ODB", wanted=NEW, recorded=NEW))
    assert made.steps == ()


def test_a_rebuilt_record_only_app_is_verified_before_it_is_recorded() -> None:
    """P1: the record moves forward only for what is seen running and healthy."""
    moved = Release("ODB", NEW.commit, OLD.artifacts)
    made = plan_of(project_of(app_of("ODB")), seen("ODB", wanted=moved, recorded=OLD))
    assert [s.id for s in made.steps if s.app] == ["verify:ODB", "record:ODB", "mark:ODB", "retire:ODB"]


def test_selecting_apps_says_what_is_left_behind() -> None:
    project = project_of(app_of("SSO"), app_of("ODB"))
    made = plan_of(
        project,
        seen("SSO", wanted=release("SSO", "b"), recorded=release("SSO", "a")),
        seen("ODB", wanted=NEW, recorded=OLD),
        selected=["ODB"],
    )
    assert Action.LEFT_BEHIND is made.apps["SSO"].action
    assert "left behind, since not selected: SSO" in made.notes


def test_a_process_type_that_the_release_lost_is_removed_and_a_sleeping_one_is_shown() -> None:
    runs = Known({"web": image("old"), "worker": image("worker"), "clock": image("clock")}, {"clock": 0})
    wanted = Release("ODB", NEW.commit, {"web": image("new"), "clock": image("clock2")})
    made = plan_of(project_of(app_of("ODB")), seen("ODB", wanted=wanted, recorded=OLD, runs=runs))
    assert (made.apps["ODB"].removes, made.apps["ODB"].asleep) == (("worker",), ("clock",))


def test_each_database_is_backed_up_once_and_only_for_apps_that_are_switched() -> None:
    shared = (Database("db-1", "SSO", "staging", "fake"),)
    project = project_of(app_of("SSO", backup=True), app_of("ODB", backup=True), app_of("ITC"))
    made = plan_of(
        project,
        seen("SSO", wanted=release("SSO", "b"), recorded=release("SSO", "a"), databases=shared),
        seen("ODB", wanted=NEW, recorded=OLD, databases=shared),
        seen("ITC", wanted=release("ITC", "a"), recorded=release("ITC", "a")),
    )
    assert [d.id for d in made.databases] == ["db-1"]


@pytest.mark.promise("P2")
def test_an_app_whose_database_is_not_found_is_not_released_without_its_backup() -> None:
    made = plan_of(project_of(app_of("ODB", backup=True)), seen("ODB", wanted=NEW, recorded=OLD))
    assert made.apps["ODB"].action is Action.BLOCKED
    assert "none was found" in made.apps["ODB"].why


def test_drift_in_the_target_refuses_unless_it_is_accepted() -> None:
    drifted = seen("ODB", wanted=NEW, recorded=OLD, runs=release("ODB", "c"))
    project = project_of(app_of("ODB"))
    assert [v.gate for v in plan_of(project, drifted).refusals] == ["drift"]
    assert not plan_of(project, drifted, accept_drift=True).refusals


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    ("artifact", "reversible"), [(OLD.artifacts["web"], True), (RecordedId("sha256:" + "d" * 64), False)]
)
def test_what_cannot_be_told_is_gone_back_to_where_its_record_names_images(
    artifact: Artifact, reversible: bool
) -> None:
    """An id of another tool that no registry could resolve is nothing to go back to, and the plan says so."""
    recorded = Release("ODB", OLD.commit, {"web": artifact})
    runs = Unknown("Heroku does not say which image web runs")
    made = plan_of(project_of(app_of("ODB")), seen("ODB", wanted=NEW, recorded=recorded, runs=runs))
    assert made.apps["ODB"].reversible is reversible
    assert (made.apps["ODB"].before is not None) is reversible


@pytest.mark.promise("P4")
def test_a_record_of_the_very_release_that_is_wanted_is_nothing_to_go_back_to() -> None:
    """What ran before cannot be told: after an undo to the same, "as before" would be a guess."""
    told = seen("ODB", wanted=NEW, recorded=NEW, runs=Unknown("formation without image ids"))
    made = plan_of(project_of(app_of("ODB")), told)
    assert made.apps["ODB"].action is Action.RELEASE
    assert (made.apps["ODB"].before, made.apps["ODB"].reversible) == (None, False)


def test_what_cannot_be_taken_back_goes_last() -> None:
    project = project_of(app_of("ODB", undo=Undo.NEVER), app_of("SSO"), app_of("Explore", ["ODB"]))
    made = plan_of(
        project, *(seen(a, wanted=release(a, "b"), recorded=release(a, "a")) for a in project.apps)
    )
    steps = {s.id: s for s in made.steps}
    assert steps["point of no return"].needs == ("verify:SSO",)
    assert "point of no return" in steps["release:ODB"].needs
    assert "verify:ODB" in steps["release:Explore"].needs


def test_a_saved_plan_is_read_back_without_loss() -> None:
    made = plan_of(project_of(app_of("ODB")), seen("ODB", wanted=NEW, recorded=OLD))
    saved = saved_plan(plan_document(made), "plan.json")
    assert (made.digest, {"ODB": NEW}, {"ODB": "9"}) == (saved.digest, saved.releases, saved.deployments)


@st.composite
def projects(draw: st.DrawFn) -> tuple[Project, list[AppObservation]]:
    """A project of up to 12 apps with random order, undo, backups and states."""
    names = [f"A{i}" for i in range(draw(st.integers(1, 12)))]
    apps, observed = [], []
    for i, name in enumerate(names):
        after = draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else []
        undo = draw(st.sampled_from(Undo))
        apps.append(app_of(name, after, backup=draw(st.booleans()), undo=undo))
        old, new = release(name, "a"), release(name, "b")
        choices: list[Release | Missing] = [old, new, Missing("no record")]
        wanted = draw(st.sampled_from(choices))
        states: list[Release | Known | Unknown] = [old, new, Known({}), Unknown("no answer")]
        runs = draw(st.sampled_from(states))
        recorded = draw(st.sampled_from([None, old, new]))
        databases = (Database(f"db-{name}", name, "staging", "fake"),)
        observed.append(seen(name, wanted=wanted, runs=runs, recorded=recorded, databases=databases))
    order = draw(st.permutations(list(range(len(apps)))))
    return project_of(*(apps[i] for i in order)), [observed[i] for i in order]


@given(projects())
def test_every_plan_keeps_the_promises_by_its_shape(world: tuple[Project, list[AppObservation]]) -> None:
    """P2, P1 and the order of apps hold in the graph itself, whatever was observed."""
    project, observed = world
    made = plan_of(project, *observed)
    steps = {s.id: s for s in made.steps}
    before = _ancestors(made)
    prepared = {s.id for s in made.steps if s.kind in {StepKind.STAGE, StepKind.BACKUP, StepKind.INTENT}}
    released = {a.app for a in made.releases}
    for app in released:
        assert prepared <= before[f"release:{app}"], "P2: nothing is released before every stage and backup"
        for other in project.apps[app].after:
            if other in released:
                assert f"verify:{other}" in before[f"release:{app}"], "`after` is kept"
    verified = {f"verify:{a.app}" for a in made.changes}
    for step in steps.values():
        if step.kind is StepKind.RECORD:
            assert verified <= before[step.id], "P1: no record before all are verified"
    assert {d.app for d in made.databases} == {a for a in released if project.apps[a].backup}


@given(projects())
def test_the_digest_tells_plans_apart_and_ignores_the_order_of_apps(
    world: tuple[Project, list[AppObservation]],
) -> None:
    project, observed = world
    made = plan_of(project, *observed)
    assert made.digest == plan_of(project, *observed).digest
    for app in made.releases:
        if app.release is None:
            continue
        other = Release(app.app, app.release.commit, {"web": image("something else")})
        changed = [o if o.app != app.app else seen(o.app, wanted=other, runs=o.running) for o in observed]
        assert made.digest != plan_of(project, *changed).digest


def test_the_steps_grow_linearly_with_the_apps() -> None:
    def size(count: int) -> int:
        names = [f"A{i}" for i in range(count)]
        project = project_of(
            *(app_of(n, undo=Undo.NEVER if i % 2 else Undo.SAFE) for i, n in enumerate(names))
        )
        made = plan_of(project, *(seen(n, wanted=release(n, "b"), recorded=release(n, "a")) for n in names))
        return sum(1 + len(s.needs) for s in made.steps)

    assert size(400) <= 4.1 * size(100)


def _ancestors(made: Plan) -> dict[str, set[str]]:
    steps = {s.id: s for s in made.steps}
    found: dict[str, set[str]] = {}

    def visit(step_id: str) -> set[str]:
        if step_id not in found:
            found[step_id] = set()
            for need in steps[step_id].needs:
                found[step_id] |= {need} | visit(need)
        return found[step_id]

    for step_id in steps:
        visit(step_id)
    return found
