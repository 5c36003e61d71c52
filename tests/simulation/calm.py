"""The calm after the chaos: whatever stands open is finished or undone, and the last judgement."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import trio

from tests.simulation.errands import Errand
from tests.simulation.promises import Promises
from tests.simulation.world import World

START_LIMIT_S = 300.0
"""Dynos that take longer to come up are not waited for (docs/explanation/limits.md)."""


class Calm:
    """Faults are off: somebody new comes, from anywhere."""

    def __init__(
        self,
        world: World,
        promises: Promises,
        dice: random.Random,
        run: Callable[[str, Errand], Awaitable[int | None]],
    ) -> None:
        self.world = world
        self.promises = promises
        self._dice = dice
        self._run = run

    async def resume_all(self) -> int:
        """How many resumes it took."""
        resumed = 0
        for environment in self.world.shape.environments:
            verb = self._dice.choice(["resume-finish", "resume-undo"])
            for attempt in range(5):
                await trio.sleep(60)
                standing = [w for w in self.promises.books.intents(environment) if w.is_open]
                if not standing:
                    break
                resumed += 1
                code = await self._run(f"eve{attempt}", Errand(verb, "", environment, wait_s=2000))
                if code == 0:
                    self._judge_resumed(verb, environment, standing[-1].key)
                elif verb == "resume-finish" and self._must_succeed(environment, standing[-1].key):
                    self.promises.break_(
                        "P5", f"{environment} could be finished, and was not: exit code {code}"
                    )
                elif verb == "resume-undo" and attempt >= 1:
                    verb = "resume-finish"
                elif attempt >= 2:
                    verb = "resume-undo"
            else:
                self.promises.break_(
                    "P5", f"{environment} does not converge: a promotion stands open after 5 resumes"
                )
        return resumed

    def _must_succeed(self, environment: str, key: str) -> bool:
        """Whether nothing but a defect can keep a promotion from being finished, now that all is calm."""
        world, promotion = self.world, self.promises.promotions[key]
        ill = any(image in world.behaviours for parts in promotion.new.values() for image in parts.values())
        by_hand = any(self.promises.by_hand(environment, app, 0.0) for app in world.project.apps)
        # A task that crashes fails the update that made it, as its team has set it: a release that is not healthy.
        crashed = any(
            at >= promotion.opened and where == environment
            for (where, _), at in self.promises.migrations.crashed.items()
        )
        settings = world.cloud.settings
        late = settings.boot_s + settings.release_s > START_LIMIT_S
        apps = world.cloud.store.table("heroku.apps").values()
        return not (ill or by_hand or crashed or late or any(app["fail_backups"] for app in apps))

    def _judge_resumed(self, verb: str, environment: str, key: str) -> None:
        promotion = self.promises.promotions[key]
        still = [w for w in self.promises.books.intents(environment) if w.key == key and w.is_open]
        if still:
            self.promises.break_(
                "P5", f"{verb} of {still[0].id} in {environment} says it is done, and it stands open"
            )
        records = Counter(
            r.app
            for r in self.promises.books.records(environment)
            if r.promotion in self._ids(environment, key)
        )
        standing = self.promises.standing(environment, promotion)
        if verb == "resume-undo":
            if standing not in {"old", "both"} or records:
                self.promises.break_(
                    "P5", f"{environment} was undone, and is {standing}, recorded {dict(records)}"
                )
        elif standing not in {"new", "both"}:
            self.promises.break_("P5", f"{environment} was finished, and is {standing}")
        elif set(records) - set(promotion.new) or any(
            app not in records and not self._stands_recorded(app, environment, parts)
            for app, parts in promotion.new.items()
        ):
            self.promises.break_("P5", f"{environment} was finished, and recorded are {dict(records)}")

    def _stands_recorded(self, app: str, environment: str, parts: Mapping[str, str]) -> bool:
        """Whether the newest record of an app names these parts already.

        A plan may have been made while GitHub did not list it yet, and meant to record the app again.
        """
        counting = [r for r in self.promises.books.records(environment) if r.app == app and r.counts]
        content = self.promises.in_content
        return bool(counting) and dict(content(counting[-1].parts)) == dict(content(parts))

    def _ids(self, environment: str, key: str) -> set[str]:
        return {key} | {w.id for w in self.promises.books.intents(environment) if w.key == key}

    def last_judgement(self) -> None:
        """P1, P5: what the ledger says at the end is what runs, once for each promotion and app."""
        promises = self.promises
        for environment in self.world.shape.environments:
            made = Counter((r.promotion, r.app) for r in promises.books.records(environment) if r.promotion)
            for (promotion, app), number in made.items():
                late = (environment, f"deploy:{app}") in promises.late
                if number > 1 and not promotion.startswith("history") and not late:
                    promises.break_(
                        "P5", f"{app} in {environment} is recorded {number} times by promotion {promotion}"
                    )
            intents = promises.books.intents(environment)
            if any(w.state == "error" for w in intents):
                continue
            for app in self.world.project.apps:
                records = [r for r in promises.books.records(environment) if r.app == app and r.counts]
                if (
                    not records
                    or promises.by_hand(environment, app, 0.0)
                    or records[-1].id in promises.initial
                ):
                    continue
                recorded = dict(promises.in_content(records[-1].parts))
                if not promises.same(app, self.world.running(app, environment), recorded):
                    promises.break_("P1", f"in the end {app} in {environment} does not run what is recorded")
        promises.dumps.last_judgement()
        text = json.dumps(self.world.cloud.vendors["slack"].observe(self.world.cloud))
        promises.hear("Slack", text)
