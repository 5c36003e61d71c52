"""Follows the events of runs for every page that shows them, whoever does the work and wherever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.abc

from liftlock.web.live import Changes, topic_of_run
from liftlock.web.work.orders import Event, Work

MOST = 64
"""How many runs are kept; the one that nobody asked for for longest is forgotten first."""
FIRST_S = 0.5
"""How long a page waits for the events that a run has had, in seconds."""
QUIET_S = 0.03
"""A run that tells nothing for so long has told what it had."""


@dataclass(slots=True)
class _Followed:
    """One run."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    events: list[Event] = field(default_factory=list)
    is_over: bool = False


class Followers:
    """The runs that somebody looks at."""

    def __init__(
        self, work: Work, tasks: anyio.abc.TaskGroup, changes: Changes, changed: Callable[[], None]
    ) -> None:
        """`changed` is called when a run began or ended: then records are other than before."""
        self._work = work
        self._tasks = tasks
        self._changes = changes
        self._changed = changed
        self._runs: OrderedDict[str, _Followed] = OrderedDict()

    async def events(self, id_: str) -> Sequence[Event]:
        """What a run has told so far. Its topic in `Changes` tells when there is more."""
        run = self._runs.get(id_)
        if run is None:
            run = self._runs[id_] = _Followed()
            if len(self._runs) > MOST:
                self._runs.popitem(last=False)[1].scope.cancel()
            self._tasks.start_soon(self._follow, id_, run)
            await self._caught_up(run)
        self._runs.move_to_end(id_)
        return tuple(run.events)

    async def _caught_up(self, run: _Followed) -> None:
        seen = -1
        with anyio.move_on_after(FIRST_S):
            while not run.is_over and seen != len(run.events):
                seen = len(run.events)
                await anyio.sleep(QUIET_S)

    async def _follow(self, id_: str, run: _Followed) -> None:
        with run.scope:
            async for _, event in self._work.events(id_):
                run.events.append(event)
                if event.get("event") in {"run-started", "run-finished"}:
                    self._changed()
                self._changes.tell(topic_of_run(id_))
            run.is_over = True
            self._changed()
            self._changes.tell(topic_of_run(id_))
