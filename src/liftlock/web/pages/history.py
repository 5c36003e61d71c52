"""The history: who put what where, when, from where, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.history import Entry, moment_of, nobody_so_named
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Intent, Release, State
from liftlock.web.access.people import Right, person_of
from liftlock.web.pages.render import address, fragment, page
from liftlock.web.reading import Asked
from liftlock.web.site import site_of

ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, as a list shows it."""

    entry: Entry
    what: str
    outcome: str
    tone: str
    """The colour beside the words: good, alarm, doubt or quiet."""
    apps: Mapping[str, tuple[str, ...]]
    """By short commit, the apps that got it."""
    took_s: float | None
    detail: str = ""

    @property
    def id(self) -> str:
        if self.entry.intent is not None:
            return self.entry.intent.id
        return self.entry.deployment.id if self.entry.deployment is not None else ""

    @property
    def who(self) -> str:
        if self.entry.intent is not None:
            return self.entry.intent.creator
        return self.entry.deployment.creator if self.entry.deployment is not None else ""


TONES = {State.SUCCESS: "good", State.FAILURE: "alarm", State.ERROR: "alarm"}
WORDS = {State.SUCCESS: "succeeded", State.FAILURE: "failed", State.ERROR: "needs a person"}


def outcome(intent: Intent) -> tuple[str, str]:
    """How a promotion ended, in words, and their tone."""
    if intent.is_open:
        return "under way", "doubt"
    return WORDS.get(intent.state, intent.state.value), TONES.get(intent.state, "quiet")


def line(entry: Entry) -> Line:
    """An entry as the lists show it."""
    intent, deployment = entry.intent, entry.deployment
    if intent is not None:
        words, tone = outcome(intent)
        took = (intent.finished_at - intent.created_at).total_seconds() if intent.finished_at else None
        what = f"{intent.kind} from {intent.source}" if intent.source else intent.kind.value
        failed = intent.state in {State.FAILURE, State.ERROR}
        detail = intent.description.removeprefix("failed: ") if failed else ""
        return Line(entry, what, words, tone, _apps(intent.releases), took, detail)
    if deployment is None:
        raise ValueError("a history entry is an intent or a deployment")
    state = deployment.state.value.replace("_", " ") if deployment.state else "no status"
    tone = TONES.get(deployment.state, "quiet") if deployment.state else "quiet"
    return Line(
        entry, "another tool", state, tone, {deployment.release.short_commit: (deployment.app,)}, None
    )


def _apps(releases: Mapping[str, Release]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for app, release in releases.items():
        found[release.short_commit] = (*found.get(release.short_commit, ()), app)
    return found


def asked(request: Request, now: datetime) -> Asked:
    """What the filters say. Raises `UsageError` for a time that is none."""
    query = request.query_params

    def moment(key: str, *, is_end: bool = False) -> datetime | None:
        text = query.get(key, "").strip()
        return moment_of(text, now, key, is_end=is_end) if text else None

    return Asked(
        environment=query.get("environment", ""),
        app=query.get("app", ""),
        by=query.get("by", "").strip(),
        since=moment("since"),
        until=moment("until", is_end=True),
        limit=ON_A_PAGE,
    )


async def history(request: Request) -> Response:
    """`GET /history`: the entries that fit the filters, newest first."""
    site = site_of(request)
    version = site.changes.version(("project",))
    query = {key: request.query_params.get(key, "") for key in ("environment", "app", "by", "since", "until")}
    wrong: LiftlockError | None = None
    try:
        wanted = asked(request, site.reading.now())
    except UsageError as error:
        wrong, wanted = error, Asked(limit=ON_A_PAGE)
    view = await site.reading.history(wanted)
    person = person_of(request)
    found = view.value.entries if view.value is not None else ()
    entries = [entry for entry in found if person.may(Right.SEE, entry.environment)]
    nobody = ""
    if view.value is not None and not entries and wanted.by:
        nobody = nobody_so_named(wanted.by, view.value.people)
    older = ""
    if len(found) == ON_A_PAGE:
        older = address("/history", **{**query, "until": found[-1].at.isoformat()})
    return page(
        request,
        "history.html",
        version=version,
        reload_s=2 if view.is_first_look else 0,
        view=view,
        listed_=fragment(
            request,
            "history_list.html",
            (wanted, tuple(person.where(Right.SEE))),
            view.value,
            lines_=lambda: [line(entry) for entry in entries],
        )
        if entries
        else None,
        query=query,
        wrong=wrong,
        nobody=nobody,
        older=older,
        is_filtered=any(query.values()),
    )
