"""GitHub's deployments and their statuses: requests, answers, and what to do when an answer is lost.

It knows GitHub's nouns and not what liftlock means by them; `liftlock.ledgers.github` does.
Source: GitHub REST, "Deployments" and "Deployment statuses", API version 2022-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import anyio

from liftlock.errors import (
    AnswerLost,
    BadAnswer,
    Conflict,
    NotFound,
    Unauthorized,
    VendorError,
    VendorFailure,
)
from liftlock.http import Answer, Http, Trail, field, optional
from liftlock.http.answers import wrong_field
from liftlock.model import State
from liftlock.wording import read_moment

PER_PAGE = 100
MAX_DESCRIPTION = 140
LOOKS_S = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
"""How long to wait before each look for what a lost answer may have made: GitHub may list it late, and
works on a request for ten seconds at most. Source: GitHub REST, "Troubleshooting": "Timeouts"."""
TRIES = 3
PAUSE_S = 1.0
"""Between two attempts to write a status: nothing is lost when it stands there twice."""

_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True, slots=True)
class Entry:
    """A deployment as GitHub knows it. `payload` is whatever its maker put there."""

    id: int
    repository: str
    sha: str
    task: str
    environment: str
    payload: object
    created_at: datetime
    creator: str
    url: str
    """Where people look at it."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status of a deployment."""

    id: int
    state: State
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some deployments, newest first, and where the next ones are ("" for nowhere)."""

    entries: Sequence[Entry]
    next: str
    environment: str = ""
    task: str = ""
    """What it was asked for; "" for all."""


Find = Callable[[], Awaitable[Entry | None]]
"""Looks for what a create may have made, by its maker's own mark."""


class Deployments:
    """The deployments of any repository.

    Nothing is written twice: a create whose answer was lost is looked for by its maker's own mark.
    """

    def __init__(self, http: Callable[[], Http], looks_s: Sequence[float] = LOOKS_S) -> None:
        """`http` is called at the first request, so that nobody needs a token before."""
        self._http = http
        self._looks_s = looks_s

    async def page(
        self, repository: str, environment: str = "", task: str = "", size: int = PER_PAGE
    ) -> Page:
        """The newest deployments of an environment, a task, or both. None when GitHub knows none."""
        params = {"environment": environment or None, "task": task or None, "per_page": size}
        return await self._page(repository, _path(repository), params, environment, task)

    async def after(self, repository: str, page: Page) -> Page:
        """The page after that one, which must have a `next`."""
        return await self._page(repository, page.next, None, page.environment, page.task)

    def walk(self, repository: str, environment: str, task: str) -> Walk:
        """All deployments of a task (in an environment), from the newest back."""
        return Walk(self, repository, environment, task)

    async def one(self, repository: str, id: int) -> Entry | None:  # noqa: A002 - GitHub's name
        """The deployment of that id; None where the repository has none such, or is not to be seen."""
        try:
            answer = await self._http().request("GET", f"{_path(repository)}/{id}")
        except NotFound:
            return None
        return _entry(repository, answer.object())

    async def statuses(self, repository: str, id: int) -> Sequence[Status]:  # noqa: A002 - GitHub's name
        """All statuses of a deployment, newest first."""
        found: list[Status] = []
        trail = Trail("github")
        answer = await self._http().request("GET", f"{_path(repository)}/{id}/statuses?per_page={PER_PAGE}")
        while True:
            found += [_status(_object(answer, one)) for one in answer.array()]
            following = _next(answer)
            if not following:
                break
            answer = await self._http().request("GET", trail.to(following))
        return sorted(found, key=lambda status: (status.created_at, status.id), reverse=True)

    async def create(self, repository: str, body: Mapping[str, Any], find: Find) -> Entry:
        """Make a deployment. `find` looks for it by its maker's mark when an answer is lost.

        Made again only after a look that was answered and did not find it. Raises `Conflict` when
        GitHub refuses it, or does something else in its place (202), and the lost answer's error
        when nobody can tell: then it may stand there all the same.
        """
        lost: VendorError | None = None
        for _ in range(TRIES):
            try:
                return await self._create(repository, body)
            except (AnswerLost, VendorFailure, BadAnswer) as error:
                lost = error
                try:
                    entry = await self.look(find)
                except VendorError as refusal:
                    lost.hint = (
                        "It may stand there or not: GitHub could not be looked at afterwards "
                        f"({refusal.message}) Run the command again once GitHub answers."
                    )
                    raise lost from refusal
                if entry is not None:
                    return entry
                if isinstance(error, BadAnswer):
                    break
        assert lost is not None  # noqa: S101 - the loop ran
        lost.hint = (
            "Nothing of it shows on GitHub after several looks. Check GitHub's status page, and try again."
        )
        raise lost

    async def add_status(self, repository: str, id: int, state: State, description: str) -> None:  # noqa: A002
        """Write a status; one whose answer was lost is written again unless it shows.

        `auto_inactive` is off: several apps share an environment's name, and GitHub would retire
        the neighbours.
        """
        body = {"state": state.value, "description": cut(description), "auto_inactive": False}
        for remaining in reversed(range(TRIES)):
            try:
                answer = await self._http().request(
                    "POST", f"{_path(repository)}/{id}/statuses", json=body, expect={201}
                )
                _status(answer.object())
                return
            except (AnswerLost, VendorFailure, BadAnswer):
                if await self._newest_state(repository, id) is state:
                    return
                if not remaining:
                    raise
                await anyio.sleep(PAUSE_S)

    async def _newest_state(self, repository: str, id: int) -> State | None:  # noqa: A002
        """The state that a deployment was given last; None where it has none, and where nobody can look."""
        try:
            newest = (await self.statuses(repository, id))[:1]
        except VendorError:
            return None
        return newest[0].state if newest else None

    async def default_branch(self, repository: str) -> str:
        """The branch that a deployment of no particular commit is made for."""
        answer = await self._http().request("GET", f"/repos/{repository}")
        return field(answer.object(), "default_branch", str)

    async def login(self) -> str:
        """Whose token it is; "app" for an installation of a GitHub App, which may not ask."""
        try:
            answer = await self._http().request("GET", "/user")
        except Unauthorized as error:
            if error.status == 403:
                return "app"
            raise
        return field(answer.object(), "login", str)

    async def _create(self, repository: str, body: Mapping[str, Any]) -> Entry:
        try:
            answer = await self._http().request(
                "POST", _path(repository), json={**ALWAYS, **body}, expect={201, 202}
            )
        except Conflict as error:
            if "ref" in error.message.lower():
                error.hint = (
                    f"The ref {str(body['ref'])[:40]!r} must exist in {repository}: push it, and check that "
                    "the record's commit belongs to that repository."
                )
            else:
                error.hint = "Nothing was recorded. GitHub's own words say what it did not like."
            raise
        if answer.status == 202:
            told = optional(answer.object(), "message", str) or "no reason given"
            raise Conflict(
                f"GitHub made no deployment in {repository}, though it accepted the request: {told}",
                vendor="github",
                method="POST",
                address=answer.address,
                status=202,
                hint="Look at the repository's default branch: GitHub may have merged it somewhere.",
            )
        return _entry(repository, answer.object())

    async def look(self, find: Find) -> Entry | None:
        """What a create of unknown fate has made; None when it made nothing.

        Raises when the last look was not answered: then nobody can tell.
        """
        unanswered: VendorError | None = None
        for delay in self._looks_s:
            await anyio.sleep(delay)
            try:
                entry = await find()
            except VendorError as error:
                unanswered = error
            else:
                if entry is not None:
                    return entry
                unanswered = None
        if unanswered is not None:
            raise unanswered
        return None

    async def _page(
        self, repository: str, path: str, params: Mapping[str, Any] | None, environment: str, task: str
    ) -> Page:
        try:
            answer = await self._http().request("GET", path, params=params)
        except NotFound as error:
            raise NotFound(
                f"GitHub shows no deployments of {repository}: {error.message}",
                vendor=error.vendor,
                method=error.method,
                address=error.address,
                status=error.status,
                hint="Check the repository's name, and that the token may read its deployments.",
            ) from error
        entries = [_entry(repository, _object(answer, one)) for one in answer.array()]
        # Whatever answered without heeding the question must not make another's record ours.
        asked = environment.casefold(), task
        if any(
            (e.environment.casefold() if environment else "", e.task if task else "") != asked
            for e in entries
        ):
            raise answer.bad("lists deployments that were not asked for")
        entries.sort(key=lambda entry: (entry.created_at, entry.id), reverse=True)
        return Page(entries, _next(answer), environment, task)


class Walk:
    """Deployments of one task, newest first, fetched page by page as they are needed, none twice."""

    def __init__(self, api: Deployments, repository: str, environment: str, task: str) -> None:
        self._api = api
        self._place = repository, environment, task
        self._page: Page | None = None
        self._ready: list[Entry] = []
        self._seen: set[int] = set()
        self._complete = False
        self._trail = Trail("github")

    @classmethod
    def from_shared(cls, api: Deployments, page: Page, repository: str, environment: str, task: str) -> Walk:
        """A walk that begins with what a listing of all tasks showed already."""
        walk = cls(api, repository, environment, task)
        walk._add(entry for entry in page.entries if entry.task == task)
        walk._complete = not page.next
        return walk

    async def shown(self, most: int) -> Sequence[Entry]:
        """The newest one, and those that came on the same page; they stay to be taken."""
        await self._fetch(1)
        return self._ready[:most]

    async def take(self, count: int) -> Sequence[Entry]:
        """The next `count` ones; fewer at the end."""
        await self._fetch(count)
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    async def some(
        self, count: int, since: datetime | None, wanted: Callable[[Entry], bool]
    ) -> Sequence[Entry]:
        """The next `count` ones that are wanted and no older than `since`."""
        found: list[Entry] = []
        while len(found) < count and (entries := await self.take(count - len(found))):
            for entry in entries:
                if since is not None and entry.created_at < since:
                    return found
                if wanted(entry):
                    found.append(entry)
        return found

    async def _fetch(self, count: int) -> None:
        while len(self._ready) < count and not self._complete:
            if self._page is None:
                self._page = await self._api.page(*self._place)
            else:
                self._trail.to(self._page.next)
                self._page = await self._api.after(self._place[0], self._page)
            self._add(self._page.entries)
            self._complete = not self._page.next

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.id not in self._seen:
                self._seen.add(entry.id)
                self._ready.append(entry)


ALWAYS: Mapping[str, Any] = {
    "auto_merge": False,  # else GitHub may merge the default branch into the ref, and deploy nothing
    "required_contexts": [],  # else it refuses while any check of the commit is not green
    "production_environment": False,
    "transient_environment": False,
}


def cut(description: str) -> str:
    """A description that GitHub takes: one line of 140 characters at most."""
    line = " ".join(description.split())
    return line if len(line) <= MAX_DESCRIPTION else line[: MAX_DESCRIPTION - 1] + "…"


def _path(repository: str) -> str:
    return f"/repos/{quote(repository)}/deployments"


def _next(answer: Answer) -> str:
    found = _NEXT.search(answer.headers.get("link", ""))
    return found[1] if found else ""


def _object(answer: Answer, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise answer.bad("lists something that is not an object")
    return value


def _entry(repository: str, payload: Mapping[str, Any]) -> Entry:
    return Entry(
        id=field(payload, "id", int),
        repository=repository,
        sha=field(payload, "sha", str),
        task=field(payload, "task", str),
        environment=field(payload, "environment", str),
        payload=payload.get("payload"),
        created_at=_time(payload, "created_at"),
        creator=optional(payload, "creator.login", str) or "",
        url=_page_of(optional(payload, "url", str) or "", repository, field(payload, "environment", str)),
    )


def _page_of(url: str, repository: str, environment: str) -> str:
    """GitHub has a page for each environment's deployments; elsewhere the API's address has to do."""
    if url.startswith("https://api.github.com/"):
        return f"https://github.com/{repository}/deployments/{quote(environment, safe='')}"
    return url


def _status(payload: Mapping[str, Any]) -> Status:
    return Status(
        id=field(payload, "id", int),
        state=_state(field(payload, "state", str)),
        description=optional(payload, "description", str) or "",
        created_at=_time(payload, "created_at"),
    )


def _state(text: str) -> State:
    """A state; one that GitHub adds later is undecided: neither a success nor an end."""
    try:
        return State(text)
    except ValueError:
        return State.PENDING


def _time(payload: Mapping[str, Any], name: str) -> datetime:
    text = field(payload, name, str)
    try:
        return read_moment(text)
    except ValueError as error:
        raise wrong_field(payload, f"has {text[:40]!r} as {name!r} where a time was expected") from error
