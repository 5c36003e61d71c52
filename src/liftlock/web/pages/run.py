"""One promotion, rollback or deploy: live while it goes on, and the record of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.history import Account
from liftlock.errors import LiftlockError
from liftlock.model import Approval, Backup, Commit, Deployment, Intent, Release, Unknown
from liftlock.web.access.audit import note
from liftlock.web.access.people import Right, require, require_withdrawal
from liftlock.web.live import PROJECT, topic_of_run
from liftlock.web.pages.forms import check_typed, read_form, seen_at
from liftlock.web.pages.history import outcome
from liftlock.web.pages.render import address, page
from liftlock.web.pictures.gantt import gantt
from liftlock.web.reading import Followed
from liftlock.web.site import Site, site_of
from liftlock.web.timeline import Timeline, heard, recorded
from liftlock.web.work.orders import Options, Order, OrderKind, WorkItem, WorkState

STANDINGS = {
    "new": ("runs the new", "good"),
    "old": ("runs as before", "quiet"),
    "untouched": ("untouched", "quiet"),
    "unsure": ("look at it", "alarm"),
}
RELOAD_S = 1
"""How often a page without news asks for itself while something runs: bars grow between events."""
FOLLOWED_S = 1
"""The same for what runs elsewhere."""
RECENT = 50


@dataclass(frozen=True, slots=True)
class Moved:
    """What an app got, and what of it is known."""

    app: str
    release: Release
    before: str
    """The short commit that it replaced; "" where that is not known."""
    commit: Commit | None
    commit_url: str
    standing: str
    tone: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that the page tells, wherever it comes from."""

    title: str
    environment: str
    source: str
    kind: str
    words: str
    tone: str
    is_running: bool
    timeline: Timeline
    who: str
    began: datetime | None
    took_s: float | None
    moved: Sequence[Moved] = ()
    backups: Sequence[Backup] = ()
    approvals: Sequence[Approval] = ()
    approvals_unknown: str = ""
    overrides: Mapping[str, str] | None = None
    error: Mapping[str, Any] | None = None
    plan_digest: str = ""
    url: str = ""
    id: str = ""


async def run(request: Request) -> Response:
    """`GET /runs/{id}`: an order, by the server's own id of it."""
    site = site_of(request)
    item = await site.work.item(request.path_params["id"])
    if item is None:
        raise HTTPException(404, "The server does not know this run any more. Look in the history.")
    require(request, Right.SEE, item.order.environment)
    version = site.changes.version((PROJECT, topic_of_run(item.id)))
    events = await site.followers.events(item.id)
    timeline = heard(events, site.reading.now())
    account = await _account(site, timeline.promotion) if timeline.promotion and item.state.is_over else None
    return await _shown(request, version, item, timeline, account)


async def promotion(request: Request) -> Response:
    """`GET /promotions/{id}`: a promotion, rollback, deploy or other tool's record, by the ledger's id."""
    site = site_of(request)
    id_ = request.path_params["id"]
    item = await _item_of(site, id_)
    if item is not None:
        require(request, Right.SEE, item.order.environment)
        version = site.changes.version((PROJECT, topic_of_run(item.id)))
        timeline = heard(await site.followers.events(item.id), site.reading.now())
        account = await _account(site, id_) if item.state.is_over else None
        return await _shown(request, version, item, timeline, account)
    version = site.changes.version((PROJECT,))
    view = await site.reading.account(id_)
    found = view.value
    if isinstance(found, Deployment):
        require(request, Right.SEE, found.environment)
        return page(
            request, "record.html", version=version, record=found, view=view, links=_links(site, found)
        )
    if isinstance(found, Account):
        require(request, Right.SEE, found.intent.environment)
        if not found.intent.is_open:
            return await _shown(request, version, None, recorded(found), found)
        elsewhere = await site.reading.followed(found)
        return await _shown(request, version, None, elsewhere.timeline, found, elsewhere)
    if view.trouble is not None:
        raise view.trouble
    return page(request, "waiting.html", version=version, reload_s=2, what=f"promotion {id_}")


async def _item_of(site: Site, promotion_id: str) -> WorkItem | None:
    """The order that made a promotion, while the server knows it."""
    for item in await site.work.items(limit=RECENT):
        if item.result.get("promotion") == promotion_id:
            return item
        if item.state is WorkState.RUNNING:
            events = await site.followers.events(item.id)
            if any(
                event.get("event") == "step-finished"
                and event.get("kind") == "intent"
                and event.get("detail") == promotion_id
                for event in events
            ):
                return item
    return None


async def _account(site: Site, id_: str) -> Account | None:
    view = await site.reading.account(id_)
    return view.value if isinstance(view.value, Account) else None


def _links(site: Site, record: Deployment) -> str:
    repository = site.project.apps[record.app].repository if record.app in site.project.apps else ""
    return site.reading.adapters.source_code.commit_url(repository, record.release.commit)


async def _shown(
    request: Request,
    version: int,
    item: WorkItem | None,
    timeline: Timeline,
    account: Account | None,
    elsewhere: Followed | None = None,
) -> Response:
    site = site_of(request)
    story = _of_item(site, item, timeline, account) if item else _of_account(site, account, timeline)
    person = require(request, Right.SEE, story.environment)
    topics = [PROJECT, *([topic_of_run(item.id)] if item else [])]
    return page(
        request,
        "run.html",
        topics=topics,
        version=version,
        reload_s=(RELOAD_S if item else FOLLOWED_S) if story.is_running else 0,
        story=story,
        item=item,
        picture=gantt(timeline, list(site.project.apps)),
        queue=await _before(site, item),
        person={right.value: person.may(right, story.environment) for right in Right},
        may_withdraw=item is not None and person.may_withdraw(story.environment, item.order.requested_by),
        is_open_elsewhere=elsewhere is not None,
        holding=elsewhere.holding if elsewhere else None,
        can_go_back=story.kind not in {OrderKind.RESUME.words, OrderKind.UNKNOWN.words}
        and story.tone == "good"
        and not story.is_running,
    )


async def _before(site: Site, item: WorkItem | None) -> WorkItem | None:
    """What a queued order waits for."""
    if item is None or item.state is not WorkState.QUEUED:
        return None
    items = await site.work.items(item.order.environment)
    return next((one for one in items if one.state is WorkState.RUNNING), None)


WORDS = {
    WorkState.QUEUED: ("waits", "doubt"),
    WorkState.RUNNING: ("under way", "doubt"),
    WorkState.WITHDRAWN: ("withdrawn", "quiet"),
}
ENDS = {
    0: ("succeeded", "good"),
    3: ("refused", "alarm"),
    4: ("somebody else holds it", "alarm"),
    6: ("needs a person", "alarm"),
}


def _of_item(site: Site, item: WorkItem, timeline: Timeline, account: Account | None) -> Story:
    order = item.order
    words, tone = WORDS.get(item.state) or ENDS.get(item.exit_code or 0, ("failed", "alarm"))
    what = order.kind.words
    result = item.result
    error = result.get("error")
    if not error and result.get("cause"):
        error = {"message": result["cause"], "hint": result.get("hint")}
    standings = timeline.standings or result.get("apps", {})
    told = _of_account(site, account, timeline) if account is not None else None
    ended = item.ended_at or site.reading.now()
    return Story(
        title=_title(what, order.source, order.environment),
        environment=order.environment,
        source=order.source,
        kind=what,
        words=words,
        tone=tone,
        is_running=item.state is WorkState.RUNNING,
        timeline=timeline,
        who=order.requested_by,
        began=item.started_at or item.created_at,
        took_s=timeline.elapsed_s
        if timeline.elapsed_s is not None
        else (ended - item.started_at).total_seconds()
        if item.started_at
        else None,
        moved=_standing(told.moved, standings) if told else _names(site, timeline, standings),
        backups=told.backups if told else (),
        approvals=told.approvals if told else (),
        approvals_unknown=told.approvals_unknown if told else "",
        overrides=order.options.overrides,
        error=error,
        plan_digest=str(result.get("plan") or order.plan_digest),
        url=told.url if told else "",
        id=timeline.promotion or str(result.get("promotion") or ""),
    )


def _title(what: str, source: str, environment: str) -> str:
    if source:
        return f"{source} → {environment}"
    return f"{what.capitalize()} of {environment}"


def _of_account(site: Site, account: Account | None, timeline: Timeline) -> Story:
    if account is None:
        raise LiftlockError("There is nothing to show.")
    intent = account.intent
    words, tone = outcome(intent)
    approvals = account.approvals
    known = () if isinstance(approvals, Unknown) else tuple(approvals)
    failed = tone == "alarm" and bool(intent.description)
    moved = [_moved(site, account, app, release) for app, release in intent.releases.items()]
    return Story(
        title=_title(intent.kind.value, intent.source, intent.environment),
        environment=intent.environment,
        source=intent.source,
        kind=intent.kind.value,
        words=words,
        tone=tone,
        is_running=timeline.now_s is not None,
        timeline=timeline,
        who=intent.creator,
        began=intent.created_at,
        took_s=timeline.elapsed_s,
        moved=_standing(moved, timeline.standings),
        backups=account.backups,
        approvals=known,
        approvals_unknown=approvals.reason if isinstance(approvals, Unknown) else "",
        overrides=intent.overrides,
        error={"message": intent.description.removeprefix("failed: "), "hint": ""} if failed else None,
        plan_digest=intent.plan_digest,
        url=intent.url,
        id=intent.id,
    )


def _moved(site: Site, account: Account, app: str, release: Release) -> Moved:
    made, replaced = account.records.get(app), account.replaced.get(app)
    repository = site.project.apps[app].repository if app in site.project.apps else ""
    url = site.reading.adapters.source_code.commit_url(repository, release.commit)
    words, tone = ("recorded", "good") if made is not None else _unrecorded(account.intent)
    return Moved(
        app, release, replaced.release.short_commit if replaced else "", release.about, url, words, tone
    )


def _unrecorded(intent: Intent) -> tuple[str, str]:
    return ("under way", "doubt") if intent.is_open else ("not recorded", "quiet")


def _standing(moved: Sequence[Moved], standings: Mapping[str, str]) -> list[Moved]:
    """With what each app runs now, where the run itself has told it."""
    found = []
    for one in moved:
        words, tone = STANDINGS.get(standings.get(one.app, ""), (one.standing, one.tone))
        found.append(Moved(one.app, one.release, one.before, one.commit, one.commit_url, words, tone))
    return found


def _names(site: Site, timeline: Timeline, standings: Mapping[str, str]) -> list[Moved]:
    """The apps with what the plan says that they get, before the ledger has told more."""
    found = []
    for app in timeline.apps or standings:
        words, tone = STANDINGS.get(standings.get(app, ""), ("", "quiet"))
        sha = timeline.commits.get(app, "")
        repository = site.project.apps[app].repository if sha and app in site.project.apps else ""
        url = site.reading.adapters.source_code.commit_url(repository, sha) if repository else ""
        found.append(Moved(app, Release(app, sha, {}), "", None, url, words, tone))
    return found


async def withdraw(request: Request) -> Response:
    """`POST /runs/{id}/withdraw`: take a queued order back, or ask a running one to stop and undo."""
    site = site_of(request)
    id_ = request.path_params["id"]
    item = await site.work.item(id_)
    if item is None:
        raise HTTPException(404, "The server does not know this run any more.")
    person = require_withdrawal(request, item.order.environment, item.order.requested_by)
    await read_form(request)
    note(request, "withdraw", environment=item.order.environment, subject=id_)
    await site.work.withdraw(id_, person.account)
    return seen_at(address("/runs", id_))


async def resume(request: Request) -> Response:
    """`POST /environments/{environment}/resume`: finish or undo what stands open there."""
    site = site_of(request)
    environment = request.path_params["environment"]
    person = require(request, Right.PROMOTE, environment)
    form = await read_form(request)
    check_typed(site.project, environment, form)
    choice = form.one("choice")
    item = await site.work.submit(
        Order(
            kind=OrderKind.RESUME,
            environment=environment,
            requested_by=person.account,
            options=Options(choice="undo" if choice == "undo" else "finish"),
        )
    )
    note(request, "resume", environment=environment, subject=item.id, choice=choice)
    return seen_at(address("/runs", item.id))
