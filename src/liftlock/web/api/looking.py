"""What can be looked at: status, plans, history, differences, backups, leases. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio
from pydantic import Field

from liftlock.commands.history import Found, moment_of
from liftlock.commands.promote import check_gates
from liftlock.documents.backups import backup_document
from liftlock.documents.diff import Addresses, diff_document
from liftlock.documents.history import account_document, history_document
from liftlock.documents.lease import lease_document
from liftlock.documents.status import status_document
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Deployment, Project, Serve
from liftlock.planning.document import plan_document
from liftlock.web.access.people import Right
from liftlock.web.api.answers import (
    BackupsTold,
    DiffTold,
    HistoryEntry,
    LeaseTold,
    PlanTold,
    PromotionTold,
    StatusTold,
)
from liftlock.web.api.operations import Call, Nothing, Shape, Told, operation
from liftlock.web.api.problem import NoSuchThing
from liftlock.web.reading import Asked, PlanAsked, View
from liftlock.wiring import endpoint_notes

T = TypeVar("T")
LOOK_S = 90.0
"""How long an answer is waited for that nobody has seen yet."""
MOST = 1000


async def seen(look: Callable[[], Awaitable[View[T]]]) -> T:
    """What a look gives. A page shows what is known meanwhile; a program waits. Raises what went wrong."""
    with anyio.move_on_after(LOOK_S):
        while (view := await look()).is_looking:  # noqa: ASYNC110 - a look tells its end to nobody
            await anyio.sleep(0.05)
        if view.trouble is not None:
            raise view.trouble
        if view.value is not None:
            return view.value
    raise LiftlockError(f"Nothing was seen within {LOOK_S:.0f} s.", hint="Try again.")


def overrides(gates: list[str], reason: str) -> dict[str, str]:
    """The gates that are overridden, each with the reason. Raises `UsageError`."""
    if bool(gates) != bool(reason.strip()):
        raise UsageError("`override` and `reason` go together.", hint="Say why: the record keeps it.")
    check_gates(gates)
    return dict.fromkeys(gates, reason.strip())


class StatusQuery(Shape):
    """Which part of the status."""

    environment: str = Field("", description="Only this environment.")


@operation("GET", "/status", tag="look", answer=StatusTold, right=Right.SEE)
async def status(call: Call[StatusQuery, Nothing]) -> Told:
    """What is recorded and what runs, every app in every environment.

    The document of `liftlock status --json`; environments that you may not see are left out.
    """
    if call.query.environment:
        call.require(Right.SEE, call.query.environment)
    visible = [call.query.environment] if call.query.environment else call.person.where(Right.SEE)
    found = await seen(call.reading.board)
    mine = replace(
        found,
        cells={place: cell for place, cell in found.cells.items() if cell.environment in visible},
        open_intents={e: intents for e, intents in found.open_intents.items() if e in visible},
    )
    return Told(status_document(mine), mine)


class PlanQuery(Shape):
    """Which plan."""

    source: str = Field(description="The environment whose recorded releases are lifted.", examples=["dev"])
    target: str = Field(description="The environment that they are lifted to.", examples=["staging"])
    app: list[str] = Field([], description="Only these apps.")
    accept_drift: bool = Field(False, description="Plan to overwrite what runs in the target unrecorded.")
    override: list[str] = Field([], description="Gates to pass although they refuse; needs `reason`.")
    reason: str = Field("", description="Why the gates are overridden.")


@operation("GET", "/plan", tag="look", answer=PlanTold, right=Right.SEE)
async def plan(call: Call[PlanQuery, Nothing]) -> Told:
    """What a promotion would do, step by step: the document of `liftlock plan --json`."""
    query = call.query
    call.require(Right.SEE, query.source)
    call.require(Right.SEE, query.target)
    asked = PlanAsked(
        query.target,
        query.source,
        tuple(query.app),
        accept_drift=query.accept_drift,
        overrides=overrides(query.override, query.reason),
        account=call.person.account,
    )
    found = await seen(partial(call.reading.plan, asked))
    return Told(plan_document(found), found)


class RollbackQuery(Shape):
    """Which rollback."""

    environment: str = Field(description="The environment to roll back.", examples=["staging"])
    to: str = Field("", description="The id of a promotion, a time, or how long ago.")
    app: list[str] = Field([], description="Only these apps.")
    accept_drift: bool = Field(False, description="Plan to overwrite what runs there unrecorded.")
    override: list[str] = Field([], description="Gates to pass although they refuse; needs `reason`.")
    reason: str = Field("", description="Why the gates are overridden.")


@operation("GET", "/rollback-plan", tag="look", answer=PlanTold, right=Right.SEE)
async def rollback_plan(call: Call[RollbackQuery, Nothing]) -> Told:
    """What a rollback would do: the document of `liftlock rollback --dry-run --json`."""
    query = call.query
    call.require(Right.SEE, query.environment)
    asked = PlanAsked(
        query.environment,
        "",
        tuple(query.app),
        query.to,
        query.accept_drift,
        overrides(query.override, query.reason),
        call.person.account,
    )
    found = await seen(partial(call.reading.plan, asked))
    return Told(plan_document(found), found)


class HistoryQuery(Shape):
    """Which part of the history."""

    environment: str = Field("", description="Only this environment.")
    app: str = Field("", description="Only what concerns this app.")
    by: str = Field("", description="Only what this person did.")
    since: str = Field("", description="Not older: a day, a time, or how long ago (2d).")
    until: str = Field("", description="Not newer.")
    limit: int = Field(20, ge=1, le=MOST, description="How many entries, newest first.")


@operation("GET", "/history", tag="look", answer=list[HistoryEntry], right=Right.SEE)
async def history(call: Call[HistoryQuery, Nothing]) -> Told:
    """Who put what where, when, from where, and how it ended: the document of `liftlock history --json`."""
    query, now = call.query, call.site.reading.now()
    if query.environment:
        call.require(Right.SEE, query.environment)
    asked = Asked(
        query.environment,
        query.app,
        query.by,
        moment_of(query.since, now, "since") if query.since else None,
        moment_of(query.until, now, "until", is_end=True) if query.until else None,
        query.limit,
    )
    found = await seen(partial(call.reading.history, asked))
    person = call.person
    mine = Found([e for e in found.entries if person.may(Right.SEE, e.environment)], found.people)
    return Told(history_document(mine.entries), mine)


@operation("GET", "/promotions/{id}", tag="look", answer=PromotionTold, right=Right.SEE)
async def promotion(call: Call[Nothing, Nothing]) -> Told:
    """One promotion, rollback or deploy of the ledger, or another tool's record, with all that is known of it."""
    try:
        told = await seen(partial(call.reading.account, call.path("id")))
    except UsageError as error:
        raise NoSuchThing(error.message, hint=error.hint) from error
    call.require(Right.SEE, told.environment if isinstance(told, Deployment) else told.intent.environment)
    return Told(account_document(told), told)


class DiffQuery(Shape):
    """What is compared."""

    source: str = Field(description="The environment that is compared.", examples=["dev"])
    target: str = Field(description="The environment that it is compared with.", examples=["staging"])


@operation("GET", "/diff", tag="look", answer=DiffTold, right=Right.SEE)
async def diff(call: Call[DiffQuery, Nothing]) -> Told:
    """The commits, images and migrations that `source` has and `target` lacks: `liftlock diff --json`."""
    call.require(Right.SEE, call.query.source)
    call.require(Right.SEE, call.query.target)
    found = await seen(partial(call.reading.comparison, call.query.source, call.query.target))
    source_code = call.site.reading.adapters.source_code
    compared = {
        app.range: await source_code.compare_url(*app.range) for group in found.groups for app in group
    }
    addresses = Addresses(source_code.commit_url, source_code.pull_request_url, compared)
    pages = {
        "compared": compared,
        "commits": {
            (app.repository, commit.sha): source_code.commit_url(app.repository, commit.sha)
            for app in found.apps
            for commit in app.commits
        },
        "pull_requests": {
            (app.repository, number): source_code.pull_request_url(app.repository, number)
            for app in found.apps
            for commit in app.commits
            if (number := commit.pull_request)
        },
    }
    return Told(diff_document(found, addresses), (found, pages))


@operation("GET", "/environments/{environment}/backups", tag="look", answer=BackupsTold, right=Right.SEE)
async def backups(call: Call[Nothing, Nothing]) -> Told:
    """The complete backups of an environment's databases, newest first."""
    environment = call.path("environment")
    call.require(Right.SEE, environment)
    kept = await seen(partial(call.reading.backups, environment))
    found = [one.listed for one in kept if one.backup.gone_at is None]
    return Told({"environment": environment, "backups": [backup_document(one) for one in found]}, found)


@operation("GET", "/environments/{environment}/lease", tag="look", answer=LeaseTold, right=Right.SEE)
async def lease(call: Call[Nothing, Nothing]) -> Told:
    """Who holds an environment, for what, since when and until when."""
    environment = call.path("environment")
    call.require(Right.SEE, environment)
    found = await seen(partial(call.reading.lease, environment))
    return Told(lease_document(environment, found[0]), found)


class Level(Shape):
    """An environment, and what you may do with it."""

    name: str
    promotes_from: list[str]
    rights: list[Right]
    confirm: bool
    """Whether its name must be said before it is changed."""


class About(Shape):
    """The project, as far as you may see it."""

    name: str
    repository: str
    apps: list[str]
    environments: list[Level]


@operation("GET", "/project", tag="look", answer=About)
async def project(call: Call[Nothing, Nothing]) -> Told:
    """The project: its apps, and the environments that you may see with what you may do there."""
    person, whole = call.person, call.site.project
    visible = person.where(Right.SEE)
    about = About(
        name=whole.name,
        repository=whole.repository,
        apps=list(whole.apps),
        environments=[
            Level(
                name=name,
                promotes_from=list(whole.environments[name].promotes_from),
                rights=[right for right in Right if person.may(right, name)],
                confirm=name in whole.serve.confirm,
            )
            for name in visible
        ],
    )
    return Told(about.model_dump(mode="json"), (_shown(whole, visible), endpoint_notes(whole)))


def _shown(whole: Project, visible: list[str]) -> Project:
    """The project without what only the server needs, and without environments that somebody may not see."""
    apps = {
        name: replace(
            app,
            targets={
                e: replace(target, options={}, backup={}) for e, target in app.targets.items() if e in visible
            },
            records={e: record for e, record in app.records.items() if e in visible},
            processes={},
        )
        for name, app in whole.apps.items()
    }
    return replace(
        whole,
        environments={e: level for e, level in whole.environments.items() if e in visible},
        apps=apps,
        notify={},
        serve=Serve(confirm=tuple(e for e in whole.serve.confirm if e in visible)),
        root=".",
    )
