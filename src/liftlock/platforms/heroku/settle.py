"""Proving that a Heroku app runs a release, is healthy, and stays so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from liftlock.errors import NotHealthy
from liftlock.model import ImageId, Target
from liftlock.platforms.heroku.api import Dyno, Formation, HerokuRelease
from liftlock.platforms.heroku.observe import Look, Watch, current_release, images_now
from liftlock.platforms.heroku.switch import Switched
from liftlock.polling import holds, wait_for
from liftlock.ports import Progress
from liftlock.tasks import together

BOOT_LIMIT_S = 300.0
HEALTH_LIMITS_S = (10.0, 60.0)
"""How long the health path may answer wrongly once every dyno is up: as long as it must answer well
afterwards (`settle`), within these bounds. Many programs listen before they are ready to answer."""
CRASH_LIMIT_S = 3.0
"""Heroku restarts a crashed dyno at once, and then waits: one that stays crashed crashed twice."""
FRESH_S = 1.0
_SETBACKS = 2
_LOG_LINES = 20


class _Ill(Exception):
    """It will not become healthy by waiting."""


@dataclass(slots=True)
class Settling:
    """One wait for one release at one target."""

    watch: Watch
    target: Target
    wanted: Mapping[str, ImageId]
    switched: Switched
    progress: Progress
    boot_limit_s: float = BOOT_LIMIT_S
    _waiting_for: str = "its first answer"
    _was_good: bool = False
    _up_since: float | None = None
    _health_limit_s: float = HEALTH_LIMITS_S[1]
    _crashes: dict[str, dict[str, float]] = field(default_factory=dict)
    _proved: tuple[Formation, Sequence[HerokuRelease]] | None = None
    """A look at which the release was current with its images: from then on only the dynos are asked
    for, until one of them shows another release."""

    async def run(self, settle_s: float) -> None:
        """Wait until all is well and has been for `settle_s`. Raises `NotHealthy`."""
        shortest, longest = HEALTH_LIMITS_S
        self._health_limit_s = min(max(settle_s, shortest), longest)
        try:
            good = await self._first_good()
            self._was_good = True
            await self._stays(good, settle_s)
        except _Ill as illness:
            lines = _since(await self.watch.app.last_log_lines(_LOG_LINES), self.switched.switch.marker)
            log = "".join(f"\n    {line}" for line in lines)
            raise NotHealthy(
                f"{self.target.app} in {self.target.environment} ({self.target.name}) is not healthy on "
                f"{self._marker}: {illness}.{log}",
                hint=f"See its whole log with: heroku logs --app {self.target.name}",
            ) from None

    async def _first_good(self) -> Look:
        formation, fresh = self.switched.formation, self.switched.look
        if formation and self.switched.releases and not self._was_good:
            self._proved = formation, self.switched.releases
            is_fresh = fresh is not None and anyio.current_time() - fresh.at < FRESH_S
            if fresh and is_fresh and self._is_good(formation, fresh):
                return fresh

        async def good() -> Look | None:
            if self._proved is None:
                formation, look = await together(self.watch.app.formation, self.watch.look)
            else:
                formation, releases = self._proved
                look = await self.watch.look_at_dynos(releases)
            return look if self._is_good(formation, look) else None

        return await wait_for(good, limit_s=self.boot_limit_s, timed_out=self._too_long)

    async def _stays(self, good: Look, settle_s: float) -> None:
        """See it stay good, on the same dynos, for `settle_s`; one setback is forgiven."""

        async def is_the_same() -> bool:
            formation, look = await together(self.watch.app.formation, self.watch.look)
            return self._is_good(formation, look) and _instances(look) == _instances(good)

        setbacks = 0
        while not await holds(is_the_same, settle_s, self.progress, since=good.at):
            setbacks += 1
            self._proved = None
            if setbacks == _SETBACKS:
                raise _Ill(f"it did not stay healthy for {settle_s:g} s: {self._waiting_for}")
            good = await self._first_good()

    def _is_good(self, formation: Formation, look: Look) -> bool:
        """Whether everything is as it has to be; else `_waiting_for` says what is not, yet."""
        self._waiting_for = self._lacking(formation, look)
        if self._waiting_for:
            self.progress(self._waiting_for)
        return not self._waiting_for

    def _lacking(self, formation: Formation, look: Look) -> str:
        self._proved, proved = None, (formation, look.releases)
        current = current_release(look.releases)
        if current is None or current.version < self._version:
            return f"{self._marker} is not current yet"
        wrong = self._wrong_image(formation, look, current)
        if not wrong and all(dyno.version <= current.version for dyno in look.dynos):
            self._proved = proved
        lacking = wrong or self._not_up(formation, look, current)
        if lacking:
            self._up_since = None
            return lacking
        is_served = "web" not in formation or formation["web"].quantity > 0
        if not look.ailment or not is_served:
            return ""
        self._up_since = self._up_since or look.at
        if look.at - self._up_since > self._health_limit_s:
            raise _Ill(f"its dynos are up, and {look.ailment} for {self._health_limit_s:.0f} s")
        return look.ailment

    def _wrong_image(self, formation: Formation, look: Look, current: HerokuRelease) -> str:
        images = images_now(formation, look.releases)
        for process_type, image in self.wanted.items():
            running = images.get(process_type)
            if running == image or self._is_proved(process_type, formation, current):
                continue
            if current.version > self._version:
                raise _Ill(f"{current.marker} was released in its place: {current.description!r}")
            return f"{process_type} runs another image"
        return ""

    def _is_proved(self, process_type: str, formation: Formation, current: HerokuRelease) -> bool:
        """Where Heroku does not name the image: our own update's release is current, and its
        description speaks of no other image (promise P1). `release` starts no dyno."""
        if process_type in formation and formation[process_type].image is not None:
            return False
        if process_type not in formation and process_type != "release":
            return False
        ours = {image.short for image in self.wanted.values()}
        is_our_update = self.switched.switch.changed and current.version == self._version
        return current.short_ids <= ours and (bool(current.short_ids) or is_our_update)

    def _not_up(self, formation: Formation, look: Look, current: HerokuRelease) -> str:
        self._note_crashes(look)
        due = {p.type: p.quantity for p in formation.values() if p.quantity > 0 and p.type != "release"}
        dynos = [dyno for dyno in look.dynos if dyno.type in due]
        up = [dyno for dyno in dynos if dyno.state == "up" and dyno.version == current.version]
        short = [t for t, quantity in due.items() if sum(d.type == t for d in up) < quantity]
        if not short and len(up) == len(dynos):
            return ""
        return f"{len(up)} of {sum(due.values())} dynos are up on {current.marker}"

    def _note_crashes(self, look: Look) -> None:
        """Raise `_Ill` for a dyno that crashed twice, or stays crashed, or crashed after all was well."""
        for dyno in look.dynos:
            if dyno.state != "crashed" or dyno.version < self._version:
                continue
            seen = self._crashes.setdefault(dyno.name, {})
            since = seen.setdefault(dyno.instance, look.at)
            if self._was_good:
                raise _Ill(f"{dyno.name} crashed after it had come up")
            if len(seen) > 1 or look.at - since >= CRASH_LIMIT_S:
                raise _Ill(f"{dyno.name} crashes at start")

    def _too_long(self) -> Exception:
        return _Ill(f"after {self.boot_limit_s:.0f} s, {self._waiting_for}")

    @property
    def _marker(self) -> str:
        return self.switched.switch.marker or "the release that the switch should have made"

    @property
    def _version(self) -> int:
        number = self.switched.switch.marker.removeprefix("v")
        return int(number) if number.isdigit() else 0


def _since(lines: Sequence[str], marker: str) -> Sequence[str]:
    """The log from where it tells of this release: what an earlier one said explains nothing."""
    tells = re.compile(rf" app\[api\]: Release {re.escape(marker)}\b")
    begun = [index for index, line in enumerate(lines) if tells.search(line)]
    return lines[begun[-1] :] if begun and marker else lines


def _instances(look: Look) -> frozenset[tuple[str, str]]:
    return frozenset((dyno.name, dyno.instance) for dyno in look.dynos if not _is_one_off(dyno))


def _is_one_off(dyno: Dyno) -> bool:
    return dyno.type in {"run", "release", "scheduler"}
