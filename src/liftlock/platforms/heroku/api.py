"""The part of Heroku's Platform API that promotions need, one app's requests as typed values.

Sources: Heroku Platform API reference (`schema.json` of heroku/platform-api) and, for everything
about images, the requests of Heroku's own CLI: the `docker-releases` variant is unpublished.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from liftlock.errors import BadAnswer, LiftlockError, NotFound
from liftlock.http import Answer, Http, field, optional
from liftlock.http.answers import wrong_field
from liftlock.model import ImageId
from liftlock.plugins import Context

ACCEPT = {"Accept": "application/vnd.heroku+json; version=3"}
ACCEPT_IMAGES = {"Accept": "application/vnd.heroku+json; version=3.docker-releases"}

_SHORT_ID = re.compile(r"\b[0-9a-f]{12}\b")
_TEXT_LIMIT = 64 * 1024
_LOG_LINES_READ = 500
_ROUTER = " heroku[router]: "
_TEXT_TIME_S = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process type as the formation shows it. `image` is None where Heroku does not say."""

    type: str
    quantity: int
    image: ImageId | None


Formation = Mapping[str, Process]


@dataclass(frozen=True, slots=True)
class HerokuRelease:
    """One of Heroku's own releases (`v42`): an image change, a config var change, a rollback."""

    version: int
    status: str
    current: bool
    description: str
    output_stream_url: str

    @property
    def marker(self) -> str:
        return f"v{self.version}"

    @property
    def short_ids(self) -> frozenset[str]:
        """The image ids that its description names: `Deployed web (0123456789ab)`."""
        return frozenset(_SHORT_ID.findall(self.description))


@dataclass(frozen=True, slots=True)
class Dyno:
    """A running, starting or crashed process."""

    name: str
    type: str
    state: str
    version: int
    instance: str
    """Changes whenever the dyno was replaced or changed its state."""


class HerokuApp:
    """One app's requests."""

    def __init__(self, context: Context, name: str) -> None:
        self.name = name
        self._context = context
        self._path = f"/apps/{name}"

    @property
    def _http(self) -> Http:
        return self._context.http("heroku")

    async def formation(self) -> Formation:
        """The process types with their image ids. Safe to repeat."""
        answer = await self._http.request("GET", f"{self._path}/formation", headers=ACCEPT_IMAGES)
        return _formation(_objects(answer))

    async def releases(self, most: int) -> Sequence[HerokuRelease]:
        """The newest releases, newest first. Safe to repeat."""
        range_ = {"Range": f"version ..; max={most}, order=desc"}
        answer = await self._http.request("GET", f"{self._path}/releases", headers=ACCEPT | range_)
        return sorted((_release(each) for each in _objects(answer)), key=lambda r: -r.version)

    async def release(self, version: int) -> HerokuRelease:
        """One release, by its version's number. Safe to repeat."""
        answer = await self._http.request("GET", f"{self._path}/releases/{version}", headers=ACCEPT)
        return _release(answer.object())

    async def dynos(self) -> Sequence[Dyno]:
        """Every dyno, one-off ones included. Safe to repeat."""
        answer = await self._http.request("GET", f"{self._path}/dynos", headers=ACCEPT)
        return [_dyno(each) for each in _objects(answer)]

    async def web_url(self) -> str:
        """Where its web process answers; "" for an app without one. Safe to repeat."""
        answer = await self._http.request("GET", self._path, headers=ACCEPT)
        return optional(answer.object(), "web_url", str) or ""

    async def in_maintenance(self) -> bool:
        """Whether web requests get Heroku's maintenance page. Safe to repeat."""
        answer = await self._http.request("GET", self._path, headers=ACCEPT)
        return field(answer.object(), "maintenance", bool)

    async def maintain(self, on: bool) -> None:
        """Switch the maintenance page on or off. Safe to repeat."""
        await self._http.request("PATCH", self._path, json={"maintenance": on}, headers=ACCEPT, repeat=True)

    async def update(self, updates: Sequence[Mapping[str, Any]]) -> Formation:
        """Release images for several process types in one call. Not repeated here: see `switch`."""
        answer = await self._http.request(
            "PATCH", f"{self._path}/formation", json={"updates": list(updates)}, headers=ACCEPT_IMAGES
        )
        return _formation(_objects(answer))

    async def remove(self, process_type: str) -> None:
        """Take the container of a process type away; one that is gone already is no error."""
        try:
            await self._http.request(
                "PATCH",
                f"{self._path}/formation/{process_type}",
                json={"docker_image": None},
                headers=ACCEPT_IMAGES,
                repeat=True,
            )
        except NotFound:
            if process_type in await self.formation():
                raise

    async def last_log_lines(self, most: int) -> list[str]:
        """The last lines of the app's log, as far as they can be had within some seconds.

        Without the router's: each of our own looks at a web that is down leaves one, and together
        they would push out the reason why it is down.
        """
        try:
            answer = await self._http.request(
                "POST",
                f"{self._path}/log-sessions",
                json={"lines": _LOG_LINES_READ, "tail": False},
                headers=ACCEPT,
                repeat=True,
            )
            lines = await self.text(field(answer.object(), "logplex_url", str), _LOG_LINES_READ)
            return [line for line in lines if _ROUTER not in line][-most:] or lines[-1:]
        except LiftlockError as error:
            return [f"(the log could not be read: {error.message})"]

    async def text(self, url: str, most: int) -> list[str]:
        """The last lines of a stream that Heroku names by an address that needs no credential.

        Cut off after 10 s and 64 kB. A stream that is not there yet (404) is asked for again, as
        Heroku's CLI does.
        """
        http = self._context.http_at("heroku", url)
        received = bytearray()
        with anyio.move_on_after(_TEXT_TIME_S):
            while True:
                try:
                    async with http.stream("GET", url, expect=(200,)) as download:
                        async for chunk in download.chunks():
                            received += chunk
                            del received[:-_TEXT_LIMIT]
                except NotFound:
                    await anyio.sleep(1.0)
                else:
                    break
        lines = received.decode(errors="replace").splitlines()
        return [line for line in lines if line.strip()][-most:]


def _objects(answer: Answer) -> list[dict[str, Any]]:
    entries = answer.array()
    if not all(isinstance(entry, dict) for entry in entries):
        raise answer.bad("lists something that is not an object")
    return entries


def _formation(entries: Sequence[Mapping[str, Any]]) -> Formation:
    processes = {process.type: process for process in map(_process, entries)}
    if len(processes) < len(entries):  # which of them runs, nobody could tell
        raise wrong_field(entries[0], "lists a process type twice")
    return processes


def _process(entry: Mapping[str, Any]) -> Process:
    image = optional(entry, "docker_image.id", str)
    return Process(
        type=field(entry, "type", str),
        quantity=optional(entry, "quantity", int) or 0,
        image=_image_id(entry, image) if image else None,
    )


def _image_id(entry: Mapping[str, Any], text: str) -> ImageId:
    try:
        return ImageId(text)
    except ValueError as error:
        kind = entry.get("type")
        raise BadAnswer(f"Heroku names no image id for {kind}: {error}.", vendor="heroku") from error


def _release(entry: Mapping[str, Any]) -> HerokuRelease:
    return HerokuRelease(
        version=field(entry, "version", int),
        status=optional(entry, "status", str) or "succeeded",
        current=optional(entry, "current", bool) or False,
        description=optional(entry, "description", str) or "",
        output_stream_url=optional(entry, "output_stream_url", str) or "",
    )


def _dyno(entry: Mapping[str, Any]) -> Dyno:
    name = field(entry, "name", str)
    return Dyno(
        name=name,
        type=optional(entry, "type", str) or name.partition(".")[0],
        state=field(entry, "state", str),
        version=optional(entry, "release.version", int) or 0,
        instance=f"{entry.get('id')} {entry.get('updated_at') or entry.get('created_at')}",
    )
