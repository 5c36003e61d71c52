"""Leases on GitHub: refs `refs/liftlock/<project>/<environment>/<number>`, each on an annotated tag object.

The tag's message is the record. GitHub fills in the tagger: the account that the token stands for,
and GitHub's own time, against which the `Date` header of a listing is held. Our clock decides
nothing. A lease that was given back points at one and the same tag object, known by its name.

Source: GitHub REST, "Git database": "References" and "Tags"; API version 2022-11-28.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import anyio

from liftlock.errors import AnswerLost, BadAnswer, Conflict, NotFound, Unauthorized, UsageError, VendorFailure
from liftlock.http import Answer, Http, Trail, field
from liftlock.http.failures import failure
from liftlock.leases.numbered import Look, NumberedLeases
from liftlock.leases.record import FREE, Record, Written, read_record
from liftlock.plugins import Context, Plugin
from liftlock.ports import Leases
from liftlock.wording import read_moment

TAG = "liftlock-lease"
CALL_S = 15.0
"""The longest that one attempt may take: a lease lasts minutes, and there are other attempts."""
LOOKS_S = (0.0, 0.5, 1.0, 2.0)
"""How long to wait before each look for a ref whose creation was not answered."""

_BLOB_TEXT = "A lease of liftlock.\n"
_TAGGER: Mapping[str, str] = {
    "name": "liftlock",
    "email": "lease@liftlock.invalid",
    "date": "2000-01-01T00:00:00Z",
}
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_NUMBER = re.compile(r"[0-9]{1,18}")
_EXISTS = "Reference already exists"
_GONE = "Reference does not exist"


def _git_name(kind: str, body: str) -> str:
    content = body.encode()
    return hashlib.sha1(
        b"%s %d\0%s" % (kind.encode(), len(content), content), usedforsecurity=False
    ).hexdigest()


_BLOB = _git_name("blob", _BLOB_TEXT)
_FREE_TAG: Mapping[str, Any] = {
    "tag": TAG,
    "message": FREE.text(),
    "object": _BLOB,
    "type": "blob",
    "tagger": _TAGGER,
}
_FREE_SHA = _git_name(
    "tag",
    f"object {_BLOB}\ntype blob\ntag {TAG}\n"
    f"tagger {_TAGGER['name']} <{_TAGGER['email']}> {int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())} +0000\n"
    f"\n{FREE.text()}",
)
_FREED_AT = datetime(2000, 1, 1, tzinfo=UTC)


class GitHubKeeper:
    """Keeps numbers as refs of one repository."""

    def __init__(self, http: Callable[[], Http], repository: str, project: str) -> None:
        """`http` is called at the first request, so that nobody needs a token before."""
        self._http = http
        self._repository = repository
        self._project = project
        self._free_sha = _FREE_SHA
        """Reckoned, until GitHub has told another name of it: it may write the object otherwise."""

    async def look(self, environment: str) -> Look:
        prefix = self._ref(environment)
        answer = await self._request("GET", f"matching-refs/{prefix}")
        now = _date(answer)  # the first page's: what is judged by it was so at that time, or later
        handles: dict[int, str] = {}
        trail = Trail("github")
        while True:
            for one in answer.array():
                if not isinstance(one, dict):
                    raise answer.bad("lists something that is not an object")
                number = field(one, "ref", str).removeprefix(f"refs/{prefix}")
                if _NUMBER.fullmatch(number):
                    handles[int(number)] = field(one, "object.sha", str)
            following = _NEXT.search(answer.headers.get("link", ""))
            if not following:
                return Look(now, handles)
            answer = await self._http().request("GET", trail.to(following[1]), timeout_s=CALL_S)

    async def read(self, environment: str, number: int, handle: str) -> Written:
        if handle == self._free_sha:
            return Written(FREE, _TAGGER["name"], _FREED_AT, handle)
        where = f"refs/{self._ref(environment, number)} of {self._repository}"
        try:
            answer = await self._request("GET", f"tags/{handle}")
        except NotFound as error:
            error.hint = f"{where} points at something that is no lease of liftlock's. Look at what moved it."
            raise
        written = _written(answer, where)
        if written.record == FREE:
            self._free_sha = handle
        return written

    async def write(self, record: Record) -> Written:
        body = {"tag": TAG, "message": record.text(), "object": _BLOB, "type": "blob"}
        return _written(await self._make_tag(body), self._repository)

    async def create(self, environment: str, number: int, written: Written) -> bool:
        """See `Keeper`. A creation whose answer was lost is ours if the number has our record."""
        name = self._ref(environment, number)
        body = {"ref": f"refs/{name}", "sha": written.handle}
        unanswered: AnswerLost | BadAnswer | VendorFailure | None = None
        for pause in LOOKS_S:
            try:
                answer = await self._request("POST", "refs", body, expect={201, 422}, repeat=False)
            except (AnswerLost, BadAnswer, VendorFailure) as error:
                unanswered = error
            else:
                if answer.status == 201:
                    return True
                if not _message(answer).startswith(_EXISTS):
                    raise failure(answer)
                if unanswered is None:
                    return False
            await anyio.sleep(pause)
            sha = await self._sha(name)
            if sha is not None:
                return sha == written.handle
        if unanswered is None:
            raise AssertionError("every creation is answered, or it is not")
        unanswered.hint = "Nothing was changed. Check GitHub's status page, and try again."
        raise unanswered

    async def move(self, environment: str, number: int, written: Written) -> bool:
        answer = await self._point(environment, number, written.handle)
        if answer.status == 422 and not _message(answer).startswith(_GONE):
            raise failure(answer)
        return answer.status == 200

    async def free(self, environment: str, number: int) -> None:
        answer = await self._point(environment, number, self._free_sha)
        if answer.status == 422 and not _message(answer).startswith(_GONE):
            # Nobody has given back a lease in this repository yet, or GitHub names the object otherwise.
            self._free_sha = field((await self._make_tag(_FREE_TAG)).object(), "sha", str)
            answer = await self._point(environment, number, self._free_sha)
            if answer.status == 422 and not _message(answer).startswith(_GONE):
                raise failure(answer)

    async def remove(self, environment: str, number: int) -> None:
        await self._request("DELETE", f"refs/{self._ref(environment, number)}", expect={204, 422})

    def _ref(self, environment: str, number: int | None = None) -> str:
        """A ref's name without `refs/`; without a number, what all of an environment begin with."""
        return f"liftlock/{self._project}/{environment}/" + ("" if number is None else f"{number:06}")

    async def _point(self, environment: str, number: int, sha: str) -> Answer:
        # Forced: what follows is no descendant of what was. Only its holder moves a number.
        body = {"sha": sha, "force": True}
        return await self._request("PATCH", f"refs/{self._ref(environment, number)}", body, expect={200, 422})

    async def _sha(self, name: str) -> str | None:
        try:
            answer = await self._request("GET", f"ref/{name}")
        except NotFound:
            return None
        return field(answer.object(), "object.sha", str)

    async def _make_tag(self, body: Mapping[str, Any]) -> Answer:
        """Make a tag object; first of all the blob that it is about, in a repository that lacks it."""
        try:
            return await self._request("POST", "tags", body, expect={201})
        except Conflict as error:
            if error.status != 422:
                raise
            blob = {"content": _BLOB_TEXT, "encoding": "utf-8"}
            await self._request("POST", "blobs", blob, expect={201})
            return await self._request("POST", "tags", body, expect={201})

    async def _request(
        self, method: str, path: str, body: Any = ..., *, expect: set[int] | None = None, repeat: bool = True
    ) -> Answer:
        """A request to the git database. Objects are named by their content, so they may be made twice."""
        try:
            return await self._http().request(
                method,
                f"/repos/{quote(self._repository)}/git/{path}",
                json=body,
                expect=expect or {200},
                repeat=repeat,
                timeout_s=CALL_S,
            )
        except (Unauthorized, NotFound) as error:
            if error.status == 401:  # who we are is in doubt, not what we may do
                raise
            error.hint = (
                f"Leases are kept as refs of {self._repository}: the token needs `contents: write` there. "
                'Another repository can keep them: [project] lease = "OWNER/NAME".'
            )
            raise
        except Conflict as error:
            if error.status == 409:
                error.hint = f"{self._repository} must have a commit before it can keep leases."
            raise


def _written(answer: Answer, where: str) -> Written:
    tag = answer.object()
    text = field(tag, "tagger.date", str)
    try:
        at = read_moment(text)
    except ValueError as error:
        raise answer.bad(f"has {text[:40]!r} where a time was expected") from error
    record = read_record(field(tag, "message", str), where)
    return Written(record, field(tag, "tagger.name", str), at, field(tag, "sha", str))


def _date(answer: Answer) -> datetime:
    """GitHub's own time when it answered."""
    try:
        moment = parsedate_to_datetime(answer.headers.get("date", ""))
        return read_moment((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())
    except (ValueError, OverflowError) as error:
        raise answer.bad("has no Date header, by which a lease's end is judged") from error


def _message(answer: Answer) -> str:
    return field(answer.object(), "message", str)


def _build(context: Context) -> Leases:
    repository = context.project.lease or context.project.repository
    if not repository:
        raise UsageError(
            "Leases on GitHub need a repository, and liftlock.toml names none.",
            hint='Set [project] repository = "OWNER/NAME", or lease = "OWNER/NAME".',
        )
    keeper = GitHubKeeper(lambda: context.http("github"), repository, context.project.name)
    return NumberedLeases(keeper, context.clock.boottime)


plugin: Plugin[Leases] = Plugin("github", _build)
