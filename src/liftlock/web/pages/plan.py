"""A plan: what would happen in which order, what keeps it from it, and the form that has it happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from liftlock import wording
from liftlock.commands.names import check_names
from liftlock.engine.backups import SIZE_OVERRIDE
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Commit, Known
from liftlock.planning.comparison import AppComparison
from liftlock.planning.estimates import expected_time
from liftlock.planning.plan import Action, AppPlan, Plan
from liftlock.web.access.audit import note
from liftlock.web.access.people import Right, person_of, require
from liftlock.web.live import PROJECT
from liftlock.web.pages.forms import Form, check_typed, overrides_of, read_form, seen_at
from liftlock.web.pages.render import address, page
from liftlock.web.pictures.gantt import gantt
from liftlock.web.reading import PlanAsked, View
from liftlock.web.site import site_of
from liftlock.web.timeline import planned
from liftlock.web.work.orders import Options, Order, OrderKind

TONES: Mapping[Action, str] = {
    Action.RELEASE: "go",
    Action.RECORD: "quiet",
    Action.UNCHANGED: "quiet",
    Action.LEFT_BEHIND: "doubt",
    Action.BLOCKED: "alarm",
}


@dataclass(frozen=True, slots=True)
class Line:
    """An app of the plan, as the page shows it."""

    plan: AppPlan
    tone: str
    moves: str
    """Which commit gives way to which."""
    commits: tuple[Commit, ...]
    undo: str
    notes: tuple[str, ...]


def lines_of(plan: Plan, compared: Mapping[str, AppComparison]) -> list[Line]:
    """The apps, those that change first."""
    found = [_line(app, compared.get(app.app)) for app in plan.apps.values()]
    ranks = {
        Action.BLOCKED: 0,
        Action.RELEASE: 1,
        Action.RECORD: 2,
        Action.LEFT_BEHIND: 3,
        Action.UNCHANGED: 4,
    }
    return sorted(found, key=lambda line: ranks[line.plan.action])


def _line(app: AppPlan, compared: AppComparison | None) -> Line:
    old = app.replaces.release.short_commit if app.replaces else "nothing"
    new = app.release.short_commit if app.release else "?"
    same = app.action is Action.UNCHANGED or old == new
    notes = [*app.notes, *([app.hint] if app.hint else [])]
    if app.removes:
        notes.append(f"{', '.join(app.removes)} will be removed: the release no longer has it")
    if app.asleep:
        notes.append(f"{', '.join(app.asleep)} is scaled to zero there, and stays so")
    told = compared.told if compared is not None and app.changes else ()
    return Line(
        app,
        TONES[app.action],
        new if same else f"{old} → {new}",
        told,
        _undo(app),
        tuple(dict.fromkeys(notes)),
    )


def _undo(app: AppPlan) -> str:
    """What would become of it if something failed after its switch."""
    if app.action is not Action.RELEASE:
        return ""
    if not app.reversible:
        if app.before is None:
            return "cannot be taken back: what runs is not known"
        why = "its database's schema does not go back" if app.has_release_phase else "it has no undo"
        return f"cannot be taken back: {why}"
    if app.before is not None and app.before.artifacts:
        return f"goes back to {app.before.marker or 'what runs now'} if something fails"
    return "is taken out again if something fails: nothing ran before"


def time_in_words(plan: Plan) -> str:
    """How long it should take, and how that is known."""
    expected = expected_time(plan.steps)
    if expected is None:
        return f"unknown: no record in {plan.environment} says yet how long its steps took"
    said = wording.duration(expected.seconds)
    return f"about {said}" if expected.is_whole else f"at least {said}; not all steps' times are known"


async def promotion_plan(request: Request) -> Response:
    """`GET` and `POST /plan/{source}/{environment}`: a promotion, planned; and begun."""
    return await _plan(request, request.path_params["environment"], request.path_params["source"])


async def rollback_plan(request: Request) -> Response:
    """`GET` and `POST /rollback/{environment}`: a rollback, planned; and begun."""
    return await _plan(request, request.path_params["environment"], "")


async def _plan(request: Request, environment: str, source: str) -> Response:
    site = site_of(request)
    check_names(site.project, (environment, source) if source else (environment,))
    for name in filter(None, (environment, source)):
        require(request, Right.SEE, name)
    wrong: LiftlockError | None = None
    form = Form({key: request.query_params.getlist(key) for key in request.query_params})
    if request.method == "POST":
        require(request, Right.PROMOTE, environment)
        form = await read_form(request)
        try:
            return await _submit(request, form, environment, source)
        except UsageError as error:
            wrong = error
    overrides = dict.fromkeys(form.every("override"), form.one("reason") or "…") if form.has("reason") else {}
    asked = PlanAsked(
        environment,
        source,
        form.every("app"),
        form.one("to"),
        accept_drift=form.has("accept_drift"),
        overrides={gate: why for gate, why in overrides.items() if gate != SIZE_OVERRIDE},
        account=person_of(request).account,
    )
    version = site.changes.version((PROJECT,))
    view = await site.reading.plan(asked)
    plan = view.value if view.trouble is None else None
    compared: Mapping[str, AppComparison] = {}
    if plan is not None and source:
        comparison = await site.reading.comparison(source, environment)
        compared = {app.app: app for app in comparison.value.apps} if comparison.value else {}
    drawn = planned(plan) if plan is not None and plan.changes else None
    return page(
        request,
        "plan.html",
        status=422 if wrong else 200,
        version=version,
        reload_s=2 if view.is_first_look else 0,
        here=address("/plan", source, environment) if source else address("/rollback", environment),
        environment=environment,
        source=source,
        asked=asked,
        form=form,
        wrong=wrong,
        view=view,
        plan=plan,
        app_lines=lines_of(plan, compared) if plan is not None else [],
        takes=time_in_words(plan) if plan is not None and plan.releases else "",
        picture=gantt(drawn, list(site.project.apps)) if drawn else None,
        person=_person(request, environment),
        approved=request.query_params.get("approved", ""),
        must_type=environment in site.project.serve.confirm,
        runs_here=_markers(plan),
        waits=_is_waiting(view),
    )


def _person(request: Request, environment: str) -> Mapping[str, bool]:
    person = require(request, Right.SEE, environment)
    return {right.value: person.may(right, environment) for right in Right}


def _is_waiting(view: View[Plan]) -> bool:
    return view.value is None and view.trouble is None


def _markers(plan: Plan | None) -> Mapping[str, str]:
    """By app, its platform's own name of what runs."""
    apps = plan.apps.values() if plan is not None else ()
    return {app.app: app.running.marker for app in apps if isinstance(app.running, Known)}


async def _submit(request: Request, form: Form, environment: str, source: str) -> Response:
    """Have the plan run that the form was shown with. Raises `UsageError` for what the form lacks."""
    site = site_of(request)
    person = require(request, Right.PROMOTE, environment)
    digest = form.one("digest")
    if not digest:
        raise UsageError("The form does not say which plan it was shown with.", hint="Load the page again.")
    check_typed(site.project, environment, form)
    overrides = overrides_of(form)
    apps = form.every("app")
    check_names(site.project, (), apps)
    on_failure: Literal["undo", "stop"] = "stop" if form.one("on_failure") == "stop" else "undo"
    item = await site.work.submit(
        Order(
            kind=OrderKind.PROMOTION if source else OrderKind.ROLLBACK,
            environment=environment,
            requested_by=person.account,
            source=source,
            apps=apps,
            plan_digest=digest,
            options=Options(
                accept_drift=form.has("accept_drift"),
                overrides=overrides,
                on_failure=on_failure,
                to=form.one("to"),
            ),
        )
    )
    note(
        request,
        item.order.kind.value,
        environment=environment,
        subject=item.id,
        source=source,
        apps=list(apps),
        overrides=overrides,
        accept_drift=item.order.options.accept_drift,
    )
    return seen_at(address("/runs", item.id))
