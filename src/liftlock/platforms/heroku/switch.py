"""Releasing images on Heroku: one update for all process types, its outcome awaited and proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio

from liftlock.errors import AnswerLost, Conflict, ReleaseFailed, VendorError, VendorFailure, VendorRefusal
from liftlock.model import ImageId, Target
from liftlock.platforms.heroku.api import Formation, HerokuRelease
from liftlock.platforms.heroku.observe import Look, State, Watch, current_release, images_now
from liftlock.polling import gap_s, is_crowded, wait_for
from liftlock.ports import Progress, Switch
from liftlock.tasks import together

RELEASE_LIMIT_S = 3900.0
"""Heroku ends a release phase after an hour; some minutes more for its own accounts."""
_REPEATS = 2
_LOST_S = 2.0
"""How long a lost update may take to show, before it counts as not applied."""
_NEWS_S = 5.0
"""How long an accepted update may take to show as a new release, before it counts as no change."""
_YOUNG_S = 2.0
"""While a release is this young, and few are under way, each look asks for dynos and health too: it
saves a round trip."""
_OUTPUT_LINES = 20


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch came to, with the last look at it while that is still fresh."""

    switch: Switch
    formation: Formation | None = None
    releases: Sequence[HerokuRelease] = ()
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    release: HerokuRelease | None
    releases: Sequence[HerokuRelease]
    look: Look | None


class Switcher:
    """Takes one target to a set of images. Safe to repeat: it looks first, and after a lost answer."""

    def __init__(self, watch: Watch, target: Target, progress: Progress) -> None:
        self._watch = watch
        self._app = watch.app
        self._target = target
        self._progress = progress

    async def to(
        self,
        wanted: Mapping[str, ImageId],
        scale: Mapping[str, int] | None = None,
        seen: State | None = None,
    ) -> Switched:
        """Make exactly `wanted` run, and wait for Heroku's own release to succeed.

        `scale` gives the quantities of process types that come back; those that are there keep
        theirs. `seen` is what was seen before: it saves the look when there is plainly something to
        switch. Raises `ReleaseFailed`.
        """
        if seen is None or not _is_to_be_switched(seen, wanted):
            return await self._switch(wanted, scale or {}, await self._settled_state(wanted))
        try:
            return await self._switch(wanted, scale or {}, seen)
        except ReleaseFailed as error:
            if not isinstance(error.__cause__, Conflict):
                raise
        # Something else is under way there, which planning did not see: look, and wait for it.
        return await self._switch(wanted, scale or {}, await self._settled_state(wanted))

    async def _settled_state(self, wanted: Mapping[str, ImageId]) -> State:
        """What runs there now, once nothing is under way any more."""
        state, _ = await together(self._watch.state, self._watch.learn_address)
        pending = next((r for r in state[1][:1] if r.status == "pending"), None)
        if pending is None:
            return state
        await self._let_end(pending, wanted)
        return await self._watch.state()

    async def _switch(
        self, wanted: Mapping[str, ImageId], scale: Mapping[str, int], state: State
    ) -> Switched:
        formation, releases = state
        current = current_release(releases)
        extra = self._extra(formation, wanted)
        if not extra and current is not None and _runs(formation, releases, wanted):
            return Switched(Switch(current.marker, changed=False))
        if not wanted and not extra:
            return Switched(Switch(current.marker if current else "", changed=False))
        before = releases[0].version if releases else 0
        switched = Switched(Switch(current.marker if current else ""))
        if wanted and not _runs(formation, releases, wanted):
            switched = await self._update(self._updates(wanted, formation, scale), wanted, before)
            if wanted.keys() - formation.keys():  # how a new process type is scaled shows only afterwards
                switched = replace(switched, formation=None)
        if extra:
            switched = await self._remove(extra)
        return switched

    def _updates(
        self, wanted: Mapping[str, ImageId], formation: Formation, scale: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        updates = []
        for process_type, image in sorted(wanted.items()):
            update: dict[str, Any] = {"type": process_type, "docker_image": image.value}
            if process_type not in formation and process_type in scale:
                update["quantity"] = scale[process_type]
            updates.append(update)
        return updates

    def _extra(self, formation: Formation, wanted: Mapping[str, ImageId]) -> list[str]:
        """Process types to be removed. Where Heroku names any images, one without has no container."""
        tells = any(process.image for process in formation.values())
        return sorted(
            process.type
            for process in formation.values()
            if process.type not in wanted and (process.image is not None or not tells)
        )

    async def _update(
        self, updates: Sequence[Mapping[str, Any]], wanted: Mapping[str, ImageId], before: int
    ) -> Switched:
        """One update, repeated only where it surely was not applied."""
        types = ", ".join(sorted(wanted))
        for attempt in range(_REPEATS + 1):
            formation: Formation | None = None
            try:
                formation = await self._app.update(updates)
            except VendorRefusal as error:
                raise ReleaseFailed(
                    f"Heroku refused to release {types} of {self._where}: {error.message}",
                    hint=f"Nothing was switched there. {error.hint}".strip(),
                ) from error
            except (AnswerLost, VendorFailure) as error:
                self._progress(f"the answer was lost, looking at {self._app.name}")
                if not await self._applied(wanted, before):
                    if attempt == _REPEATS:
                        raise ReleaseFailed(
                            f"Heroku did not release {types} of {self._where} in {attempt + 1} attempts: "
                            f"{error.message}",
                            hint="Nothing was switched there: it made no new release. Try again later.",
                        ) from error
                    continue
            ended = await self._outcome(wanted, before)
            shown = ended.release or current_release(ended.releases)
            marker = shown.marker if shown else ""
            switch = Switch(marker, changed=ended.release is not None)
            return Switched(switch, formation, ended.releases, ended.look)
        raise AssertionError("unreachable")

    async def _applied(self, wanted: Mapping[str, ImageId], before: int) -> bool:
        """Whether an update of unknown fate made a release after all."""
        began = anyio.current_time()
        while True:
            releases = await self._app.releases(10)
            if _ours(releases, wanted, before) is not None:
                return True
            elapsed = anyio.current_time() - began
            if elapsed >= _LOST_S:
                return False
            await anyio.sleep(gap_s(elapsed))

    async def _outcome(self, wanted: Mapping[str, ImageId], before: int) -> _Ended:
        """Wait until the release that our update made has succeeded. Raises `ReleaseFailed`."""
        began = anyio.current_time()

        async def ended() -> _Ended | None:
            elapsed = anyio.current_time() - began
            at_once = elapsed < _YOUNG_S and not is_crowded()
            look = await self._watch.look() if at_once else None
            releases = look.releases if look else await self._app.releases(10)
            ours = _ours(releases, wanted, before)
            if ours is None:
                return _Ended(None, releases, look) if elapsed >= _NEWS_S else None
            if ours.status == "pending":
                self._progress(f"release phase of {ours.marker} runs")
                return None
            return _Ended(ours, releases, look)

        result = await wait_for(ended, limit_s=RELEASE_LIMIT_S, timed_out=self._endless)
        if result.release is not None and result.release.status != "succeeded":
            raise await self._failed(result.release, wanted)
        return result

    async def _let_end(self, pending: HerokuRelease, wanted: Mapping[str, ImageId]) -> None:
        """Wait for a release that was under way before us: nothing can be released beside it.

        When it is our own, of an attempt that was interrupted, its failure is ours.
        """
        self._progress(f"waiting for {pending.marker}, which is being released")

        async def ended() -> HerokuRelease | None:
            release = await self._app.release(pending.version)
            return None if release.status == "pending" else release

        release = await wait_for(ended, limit_s=RELEASE_LIMIT_S, timed_out=self._endless)
        ours = {image.short for image in wanted.values()}
        if release.status != "succeeded" and release.short_ids and release.short_ids <= ours:
            raise await self._failed(release, wanted)

    async def _remove(self, extra: Sequence[str]) -> Switched:
        """Remove process types, one after the other: each is a release of its own."""
        for process_type in extra:
            self._progress(f"removing {process_type}")
            try:
                await self._app.remove(process_type)
            except VendorError as error:
                raise ReleaseFailed(
                    f"Heroku did not remove {process_type} of {self._where}: {error.message}",
                    hint=error.hint,
                ) from error

        async def ended() -> HerokuRelease | None:
            newest = next(iter(await self._app.releases(1)), None)
            return None if newest is None or newest.status == "pending" else newest

        newest = await wait_for(ended, limit_s=RELEASE_LIMIT_S, timed_out=self._endless)
        return Switched(Switch(newest.marker))

    async def _failed(self, release: HerokuRelease, wanted: Mapping[str, ImageId]) -> ReleaseFailed:
        """The error for a release that Heroku did not make current, with the last of its output."""
        read_output = partial(self._output, release.output_stream_url)
        output, releases = await together(read_output, partial(self._app.releases, 10))
        phase = "release phase (process type release)" if "release" in wanted else "release"
        what = f"The {phase} of {self._where} {release.status}: Heroku release {release.marker}"
        if release.description:
            what += f", {release.description!r}"
        current = current_release(releases)
        still = f"{current.marker} still runs" if current else "nothing runs there"
        lines = "".join(f"\n    {line}" for line in output)
        return ReleaseFailed(
            f"{what}.{lines}",
            hint=f"{still} in {self._target.environment}. "
            "What a release phase changed in a database stays changed.",
        )

    async def _output(self, url: str) -> list[str]:
        if not url:
            return []
        try:
            return await self._app.text(url, _OUTPUT_LINES)
        except VendorError as error:
            return [f"(its output could not be read: {error.message})"]

    def _endless(self) -> ReleaseFailed:
        return ReleaseFailed(
            f"The release of {self._where} is still pending after {RELEASE_LIMIT_S / 60:.0f} min.",
            hint=f"Look at it with: heroku releases --app {self._app.name}",
        )

    @property
    def _where(self) -> str:
        return f"{self._target.app} in {self._target.environment} ({self._app.name})"


def _is_to_be_switched(state: State, wanted: Mapping[str, ImageId]) -> bool:
    """Whether nothing is under way there, and something else runs than is wanted."""
    formation, releases = state
    is_quiet = not releases or releases[0].status != "pending"
    return is_quiet and bool(wanted) and not _runs(formation, releases, wanted)


def _runs(formation: Formation, releases: Sequence[HerokuRelease], wanted: Mapping[str, ImageId]) -> bool:
    """Whether every wanted image surely runs already, and nothing newer is under way."""
    current = current_release(releases)
    if current is None or releases[0].status == "pending":
        return False
    images = images_now(formation, releases)
    return all(
        images.get(process_type) == image
        or (images.get(process_type) is None and image.short in current.short_ids)
        for process_type, image in wanted.items()
    )


def _ours(
    releases: Sequence[HerokuRelease], wanted: Mapping[str, ImageId], before: int
) -> HerokuRelease | None:
    """The release that our update made: the newest one since `before` that speaks of our images,
    else the newest that speaks of no image of anybody else."""
    shorts = {image.short for image in wanted.values()}
    newer = [release for release in releases if release.version > before]
    for release in newer:
        if release.short_ids & shorts:
            return release
    return next((r for r in newer if not r.short_ids and "Deployed" in r.description), None)
