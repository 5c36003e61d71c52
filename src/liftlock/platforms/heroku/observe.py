"""What a Heroku app runs, told from its formation, its releases and its dynos."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from liftlock.errors import BadAnswer, VendorError
from liftlock.model import ImageId, Known, RecordedId, Release, Running, Target, Unknown, same_artifacts
from liftlock.platforms.heroku.api import Dyno, Formation, HerokuApp, HerokuRelease
from liftlock.plugins import Context
from liftlock.tasks import Background, all_at_once, together

RELEASES = 10
_HEALTH_TIME_S = 5.0
_ANSWERS = frozenset({*range(200, 300), *range(400, 600)})


State = tuple[Formation, Sequence[HerokuRelease]]
"""The formation and the newest releases, newest first."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an app, everything asked at the same time."""

    releases: Sequence[HerokuRelease]
    dynos: Sequence[Dyno]
    ailment: str
    """What is wrong with the health path; "" when it answers 2xx, or there is none."""
    at: float
    """When the last answer arrived, on anyio's clock."""


class Watch:
    """Looks at one target."""

    def __init__(self, context: Context, target: Target) -> None:
        self.app = HerokuApp(context, target.name)
        self._context = context
        self._health = target.health
        self._web_url: str | None = None

    async def state(self) -> State:
        """The formation and the newest releases, of one moment. One round trip, unless a release ended meanwhile.

        A second one, too, for whoever has a release phase's own image, should Heroku leave that out of the formation.
        """
        formation, releases = await together(self.app.formation, partial(self.app.releases, RELEASES))
        if _is_behind(formation, releases):
            formation = await self.app.formation()
        return formation, releases

    async def look(self) -> Look:
        """Releases, dynos and health. One round trip once the web address is known."""
        return await self._look(partial(self.app.releases, RELEASES))

    async def look_at_dynos(self, releases: Sequence[HerokuRelease]) -> Look:
        """As `look`, with releases that were seen before."""

        async def seen() -> Sequence[HerokuRelease]:
            return releases

        return await self._look(seen)

    async def _look(self, releases: Callable[[], Awaitable[Sequence[HerokuRelease]]]) -> Look:
        """Heroku's router holds a request until a dyno is up: health is not waited for before that."""
        ailment = "no web dyno is up" if self._health else ""
        async with all_at_once() as tasks:
            health = Background(tasks, self.ailment)
            found, dynos = await together(releases, self.app.dynos)
            if any(dyno.type == "web" and dyno.state == "up" for dyno in dynos):
                ailment = await health.result()
            tasks.cancel_scope.cancel()
        return Look(found, dynos, ailment, anyio.current_time())

    async def learn_address(self) -> None:
        """Find the web address ahead of the first look that needs it."""
        if self._health and self._web_url is None:
            self._web_url = await self.app.web_url()

    async def ailment(self) -> str:
        """What is wrong with the health path; "" when it answers 2xx, or there is none."""
        if not self._health:
            return ""
        await self.learn_address()
        if not self._web_url:
            return f"{self._health} cannot be asked: Heroku names no web address"
        try:
            http = self._context.http_at(f"{self.app.name} on Heroku", self._web_url)
        except BadAnswer:
            return f"{self._health} cannot be asked: Heroku names no web address that is safe to ask"
        try:
            answer = await http.request(
                "GET",
                self._web_url.rstrip("/") + self._health,
                expect=_ANSWERS,
                repeat=False,
                timeout_s=_HEALTH_TIME_S,
            )
        except VendorError:
            return f"{self._health} does not answer"
        return "" if answer.status < 300 else f"{self._health} answers {answer.status}"


def current_release(releases: Sequence[HerokuRelease]) -> HerokuRelease | None:
    """The release that runs. A failed or pending one never is, however new."""
    return next((release for release in releases if release.current), None)


def _is_behind(formation: Formation, releases: Sequence[HerokuRelease]) -> bool:
    """Whether the current release names an image that the formation has nowhere.

    Both are asked at once, and one answer may come much later, after a repeat: the formation of before beside a
    release that has ended since would say that the old images run, and that nothing is under way.
    """
    current = current_release(releases)
    shown = {process.image.short for process in formation.values() if process.image}
    is_told = all(process.image for process in formation.values())
    return current is not None and is_told and not current.short_ids <= shown


def images_now(formation: Formation, releases: Sequence[HerokuRelease]) -> Mapping[str, ImageId | None]:
    """The image ids that run, by process type; None where Heroku does not say, or contradicts itself.

    Whether the formation shows the images of a release that failed is documented nowhere: an image
    that only a failed release names is not taken for one that runs.
    """
    failed = {short for r in releases if r.status in {"failed", "expired"} for short in r.short_ids}
    succeeded = {short for r in releases if r.status == "succeeded" for short in r.short_ids}
    doubtful = failed - succeeded
    return {
        process.type: None if process.image and process.image.short in doubtful else process.image
        for process in formation.values()
    }


def running(formation: Formation, releases: Sequence[HerokuRelease], expected: Sequence[Release]) -> Running:
    """What runs. An image that Heroku does not name counts when an expected release has one for
    that process type which the current release's description names."""
    current = current_release(releases)
    images = images_now(formation, releases)
    pending = next((release.marker for release in releases[:1] if release.status == "pending"), "")
    if not images:
        return Known({}, marker=current.marker if current else "", pending=pending)
    if current is None:
        return Unknown("none of Heroku's newest releases is current")
    artifacts: dict[str, ImageId] = {}
    for process_type, image in images.items():
        found = image or _confirmed(process_type, current, expected)
        if found is None:
            return Unknown(
                f"Heroku does not say which image {process_type} runs "
                f"({current.marker}: {current.description})"
            )
        artifacts[process_type] = found
    for release in expected:  # `release` starts no dyno, and the formation may leave it out
        shared = release.artifacts.get("release")
        if "release" not in artifacts and isinstance(shared, ImageId | RecordedId):
            rest = {k: v for k, v in release.artifacts.items() if k != "release"}
            if same_artifacts(rest, artifacts) and shared.short in current.short_ids:
                artifacts["release"] = ImageId(shared.value)
    scale = {process.type: process.quantity for process in formation.values()}
    asleep = sorted(t for t, quantity in scale.items() if quantity == 0 and t != "release")
    notes = [f"scaled to zero: {', '.join(asleep)}"] if asleep else []
    if not current.short_ids:  # no deploy: somebody set a variable or rolled back, and the images stayed
        notes.append(f"{current.marker} is no deploy: {current.description}")
    return Known(artifacts, scale=scale, marker=current.marker, note="; ".join(notes), pending=pending)


def _confirmed(process_type: str, current: HerokuRelease, expected: Sequence[Release]) -> ImageId | None:
    for release in expected:
        image = release.artifacts.get(process_type)
        # A record of another tool may hold a manifest's digest, which no description names.
        if isinstance(image, ImageId | RecordedId) and image.short in current.short_ids:
            return ImageId(image.value)
    return None
