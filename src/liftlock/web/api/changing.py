"""What changes something: promotions, rollbacks, resumes, approvals, leases. All of it is queued work or audited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Literal

import anyio
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from liftlock.commands.lease import break_lease
from liftlock.config import duration_s
from liftlock.documents.lease import lease_document
from liftlock.errors import UsageError
from liftlock.web.access import forms
from liftlock.web.access.approving import approve as give
from liftlock.web.access.audit import note
from liftlock.web.access.people import Person, Right, require_withdrawal
from liftlock.web.access.sessions import Session
from liftlock.web.api.answers import LeaseTold
from liftlock.web.api.looking import overrides
from liftlock.web.api.operations import BASE, Call, Nothing, Shape, Told, operation
from liftlock.web.api.problem import NoSuchThing
from liftlock.web.work.orders import Options, Order, OrderKind, WorkItem, WorkState

BEAT_S = 15.0
"""How often a stream without news says that it lives."""


class Run(Shape):
    """Work that was asked for, and how it stands."""

    id: str
    kind: OrderKind
    environment: str
    source: str | None
    apps: list[str]
    requested_by: str
    state: WorkState
    position: int = Field(description="How many orders for the environment come before it.")
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None = Field(description="As the command line would end: docs/reference/exit-codes.md.")
    result: dict[str, Any] = Field(description="The document that the command line prints with `--json`.")
    url: str = Field(description="Where it is looked at again.")
    events: str = Field(description="Where its events are read.")


def run_of(item: WorkItem) -> Run:
    """A work item as the API tells it."""
    order = item.order
    return Run(
        id=item.id,
        kind=order.kind,
        environment=order.environment,
        source=order.source or None,
        apps=list(order.apps),
        requested_by=order.requested_by,
        state=item.state,
        position=item.position,
        worker=item.worker or None,
        created_at=item.created_at,
        started_at=item.started_at,
        ended_at=item.ended_at,
        exit_code=item.exit_code,
        result=dict(item.result),
        url=f"{BASE}/runs/{item.id}",
        events=f"{BASE}/runs/{item.id}/events",
    )


class Asking(Shape):
    """What every order says."""

    apps: list[str] = Field([], description="Only these apps; all of them without.")
    plan: str = Field("", description="The digest of the plan that was seen: another one is refused.")
    accept_drift: bool = Field(False, description="Overwrite what runs in the target unrecorded.")
    override: list[str] = Field([], description="Gates to pass although they refuse; needs `reason`.")
    reason: str = Field("", description="Why the gates are overridden; recorded.")
    confirm: str = Field("", description="The environment's name, where the project wants it typed.")


class PromotionAsked(Asking):
    """A promotion."""

    source: str = Field(examples=["dev"])
    target: str = Field(examples=["staging"])
    on_failure: Literal["undo", "stop"] = Field(
        "undo", description="Put back what was switched, or leave everything as it stands."
    )


@operation("POST", "/promotions", tag="change", answer=Run, status=202, right=Right.PROMOTE)
async def promote(call: Call[Nothing, PromotionAsked]) -> Told:
    """Lift what the source records into the target. It is queued; the answer says where to follow it."""
    asked = call.body
    call.require(Right.SEE, asked.source)
    person = call.require(Right.PROMOTE, asked.target)
    if asked.source not in call.site.project.environments[asked.target].promotes_from:
        raise UsageError(f"{asked.target} is not promoted from {asked.source}.")
    options = Options(asked.accept_drift, overrides(asked.override, asked.reason), asked.on_failure)
    return await _submit(call, person, OrderKind.PROMOTION, asked.target, asked, options, asked.source)


class RollbackAsked(Asking):
    """A rollback."""

    environment: str = Field(examples=["staging"])
    to: str = Field(
        "", description="The id of a promotion, a time, or how long ago; else before the last one."
    )


@operation("POST", "/rollbacks", tag="change", answer=Run, status=202, right=Right.PROMOTE)
async def rollback(call: Call[Nothing, RollbackAsked]) -> Told:
    """Take an environment back to before its last promotion, or to where an earlier one left it."""
    asked = call.body
    person = call.require(Right.PROMOTE, asked.environment)
    options = Options(asked.accept_drift, overrides(asked.override, asked.reason), to=asked.to)
    return await _submit(call, person, OrderKind.ROLLBACK, asked.environment, asked, options)


class ResumeAsked(Shape):
    """A resume."""

    environment: str = Field(examples=["staging"])
    choice: Literal["", "finish", "undo"] = Field(
        "", description="What to do; what the promotion itself said when empty."
    )
    confirm: str = Field("", description="The environment's name, where the project wants it typed.")


@operation("POST", "/resumes", tag="change", answer=Run, status=202, right=Right.PROMOTE)
async def resume(call: Call[Nothing, ResumeAsked]) -> Told:
    """Finish or undo a promotion that was interrupted."""
    asked = call.body
    person = call.require(Right.PROMOTE, asked.environment)
    more = Asking.model_validate({"confirm": asked.confirm})
    return await _submit(
        call, person, OrderKind.RESUME, asked.environment, more, Options(choice=asked.choice)
    )


async def _submit(
    call: Call[Nothing, Any],
    person: Person,
    kind: OrderKind,
    environment: str,
    asked: Asking,
    options: Options,
    source: str = "",
) -> Told:
    project = call.site.project
    if unknown := [app for app in asked.apps if app not in project.apps]:
        raise UsageError(
            f"There is no app {unknown[0][:60]!r}.", hint=f"There are: {', '.join(project.apps)}."
        )
    if environment in project.serve.confirm and asked.confirm != environment:
        raise UsageError(
            f"{environment} is changed only by those who say its name.",
            hint=f'Send "confirm": "{environment}".',
        )
    item = await call.site.work.submit(
        Order(
            kind,
            environment,
            person.account,
            source,
            tuple(asked.apps),
            asked.plan,
            options,
        )
    )
    note(
        call.request,
        kind.value,
        environment=environment,
        subject=item.id,
        source=source,
        apps=list(asked.apps),
        overrides=dict(options.overrides),
        accept_drift=options.accept_drift,
    )
    run = run_of(item)
    return Told(run.model_dump(mode="json"), status=202, headers={"location": run.url})


class RunsQuery(Shape):
    """Which work."""

    environment: str = Field("", description="Only this environment.")
    limit: int = Field(50, ge=1, le=200)


@operation(
    "GET",
    "/runs",
    tag="look",
    answer=list[Run],
    right=Right.SEE,
)
async def runs(call: Call[RunsQuery, Nothing]) -> Told:
    """What was asked for, newest first: queued, running and over."""
    if call.query.environment:
        call.require(Right.SEE, call.query.environment)
    found = await call.site.work.items(call.query.environment or None, call.query.limit)
    person = call.person
    return Told(
        [run_of(i).model_dump(mode="json") for i in found if person.may(Right.SEE, i.order.environment)]
    )


async def _run(call: Call[Any, Any]) -> WorkItem:
    item = await call.site.work.item(call.path("id"))
    if item is None:
        raise NoSuchThing(
            f"There is no run {call.path('id')[:40]!r}.", hint="See them with: GET /api/v1/runs"
        )
    call.require(Right.SEE, item.order.environment)
    return item


@operation("GET", "/runs/{id}", tag="look", answer=Run, right=Right.SEE)
async def run(call: Call[Nothing, Nothing]) -> Told:
    """How work stands."""
    return Told(run_of(await _run(call)).model_dump(mode="json"))


@operation("DELETE", "/runs/{id}", tag="change", answer=Run, right=Right.PROMOTE)
async def withdraw(call: Call[Nothing, Nothing]) -> Told:
    """Take work back: your own, or anybody's where you administer.

    What runs is asked to stop: nothing new is begun, and what was switched goes back.
    """
    item = await _run(call)
    person = require_withdrawal(call.request, item.order.environment, item.order.requested_by)
    await call.site.work.withdraw(item.id, person.account)
    note(call.request, "withdraw", environment=item.order.environment, subject=item.id)
    return Told(run_of(await _run(call)).model_dump(mode="json"))


class EventsQuery(Shape):
    """From where on."""

    after: int = Field(0, ge=0, le=2**31, description="The number of the last event that is known.")
    wait: bool = Field(
        False, description="With JSON: wait until there is one more, or the run is over; 30 s at most."
    )


class Event(Shape):
    """An event with its number."""

    number: int
    event: dict[str, Any] = Field(description="As in docs/reference/events.md.")


class Events(Shape):
    """Events of a run, and whether there may be more."""

    events: list[Event]
    is_over: bool


@operation("GET", "/runs/{id}/events", tag="look", answer=Events, right=Right.SEE)
async def run_events(call: Call[EventsQuery, Nothing]) -> Told | Response:
    """The events of a run, those after a number: as JSON, or as they happen with `Accept: text/event-stream`.

    A stream begins after `Last-Event-ID` where that is sent, and ends with an event `end` that holds the run. One
    that ends without it was cut off: the server stops, and whoever asks again is answered by another one.
    """
    item = await _run(call)
    request = call.request
    if "text/event-stream" in request.headers.get("accept", ""):
        said = request.headers.get("last-event-id", "")
        after = int(said) if said.isdecimal() and len(said) < 10 else call.query.after
        return StreamingResponse(
            _stream(call, item.id, after),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
    found: list[tuple[int, Mapping[str, Any]]] = []
    with anyio.move_on_after(30.0 if call.query.wait else 0.2):
        async for number, event in call.site.work.events(item.id, call.query.after):
            found.append((number, event))
            if call.query.wait:
                break
    item = await _run(call)
    if item.state.is_over:
        call.site.reading.outdate()
    events = Events(
        events=[Event(number=number, event=dict(event)) for number, event in found],
        is_over=item.state.is_over and not (call.query.wait and found),
    )
    return Told(events.model_dump(mode="json"))


async def _stream(call: Call[EventsQuery, Nothing], id_: str, after: int) -> AsyncIterator[bytes]:
    send, receive = anyio.create_memory_object_stream[bytes](16)
    following = anyio.CancelScope()

    async def follow() -> None:
        async with send:
            with following:
                await tell()

    async def tell() -> None:
        async for number, event in call.site.work.events(id_, after):
            await send.send(f"id: {number}\nevent: step\ndata: {json.dumps(event)}\n\n".encode())
        call.site.reading.outdate()  # who heard the end looks at what became of it
        run = run_of(await _run(call)).model_dump_json()
        await send.send(f"event: end\ndata: {run}\n\n".encode())

    async def cut_off() -> None:
        await call.site.changes.closed()
        following.cancel()

    async with anyio.create_task_group() as tasks, receive:
        tasks.start_soon(follow)
        tasks.start_soon(cut_off)
        while True:
            told = b": still here\n\n"
            try:
                with anyio.move_on_after(BEAT_S):
                    told = await receive.receive()
            except anyio.EndOfStream:
                break
            yield told
        tasks.cancel_scope.cancel()


class ApprovalAsked(Shape):
    """An approval of one plan."""

    environment: str = Field(examples=["production"])
    plan: str = Field(description="The whole digest of the plan.")
    expires_in: str = Field("24h", description="For how long it counts.")


class ApprovalGiven(Shape):
    """An approval."""

    plan: str
    environment: str
    by: str
    at: datetime
    expires_at: datetime


@operation("POST", "/approvals", tag="change", answer=ApprovalGiven, status=201, right=Right.APPROVE)
async def approve(call: Call[Nothing, ApprovalAsked]) -> Told:
    """Approve a plan, as yourself. One's own never counts, and a machine's token cannot."""
    asked = call.body
    person = call.require(Right.APPROVE, asked.environment)
    try:
        lasts_s = duration_s(asked.expires_in)
    except ValueError as error:
        raise UsageError(f"expires_in: {error}", hint="For example: 24h") from None
    note(call.request, "approve", environment=asked.environment, subject=asked.plan)
    session = call.request.scope.get(forms.SESSION)
    given = await give(
        call.access,
        call.site.open,
        person,
        session if isinstance(session, Session) else None,
        asked.environment,
        asked.plan,
        lasts_s,
    )
    call.site.reading.outdate()
    told = ApprovalGiven(
        plan=asked.plan,
        environment=asked.environment,
        by=given.account,
        at=given.at,
        expires_at=given.expires_at,
    )
    return Told(told.model_dump(mode="json"), (asked.environment, given), status=201)


class BreakAsked(Shape):
    """Why a lease is broken."""

    reason: str = Field(min_length=1, max_length=500, description="Recorded, and told to the holder.")


@operation(
    "DELETE", "/environments/{environment}/lease", tag="change", answer=LeaseTold, right=Right.ADMINISTER
)
async def lease_break(call: Call[Nothing, BreakAsked]) -> Told:
    """Take an environment away from its holder: for one that was killed, and whose time is not over."""
    environment = call.path("environment")
    person = call.require(Right.ADMINISTER, environment)
    note(call.request, "lease-break", environment=environment, reason=call.body.reason)
    async with call.site.open(person.account) as adapters:
        holding = await break_lease(call.site.project, adapters, environment, call.body.reason)
    call.site.reading.outdate()
    return Told(lease_document(environment, holding), holding)
