"""P3, judged: who holds each environment's lease, how each lease ended, and who changes something without it."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from tests.simulation.actors import Actor
from tests.simulation.seen import Change, Seen
from tests.simulation.truth import GitHubBooks, Holder

SEEN_S, UNSEEN_S = 3.5, 46.0
"""As docs/explanation/limits.md documents the window that is left: for how long a holder whose lease was broken
may go on, and for how long while whoever keeps the leases does not answer; and a moment for the way."""


@dataclass
class Leases:
    """The leases of one story."""

    _seen: Seen
    lost: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    """By environment and actor, when and how its lease ended."""
    _held: dict[str, Holder] = field(default_factory=dict)

    def note_taken(self, actor: Actor, ref: str) -> None:
        parts = ref.split("/")
        if parts[1] == "liftlock" and isinstance(self._seen.books, GitHubBooks):
            self._seen.books.taken_by[parts[-2], int(parts[-1])] = actor.name
            self.note()

    def note(self) -> None:
        """Remember how each lease ended that somebody held."""
        now = trio.current_time()
        for environment in self._seen.world.shape.environments:
            holder = self._seen.books.holder(environment)
            had = self._held.get(environment)
            if (
                had is not None
                and (holder is None or had.number != holder.number or holder.standing != "held")
                and had.standing == "held"
            ):
                how = "taken over" if holder and holder.number != had.number else "given back"
                if how == "taken over" and now < had.until:
                    how = "broken"
                    if (
                        holder
                        and holder.standing == "held"
                        and now < had.until - 2
                        and holder.actor != had.actor
                    ):
                        self._seen.break_(
                            "P3", f"{holder.actor} takes the lease on {environment} that {had.actor} holds"
                        )
                ended = min(now, had.until)
                self.lost[environment, had.actor] = (ended, how)
            if holder is not None:
                self._held[environment] = holder

    def judge(self, actor: Actor, change: Change, begun: float) -> None:
        self.note()
        environment, now = change.environment, trio.current_time()
        holder = self._seen.books.holder(environment)
        live = holder is not None and holder.standing == "held" and holder.until >= now
        if holder is not None and live and holder.actor == actor.name:
            self._seen.counts["changes under a lease"] += 1
            return
        if holder is not None and holder.actor == actor.name and holder.standing == "held":
            ended, how = holder.until, "ran out"
        else:
            ended, how = self.lost.get((environment, actor.name), (-1e9, "never held"))
        late = begun - ended - actor.slept_between(ended, begun)
        unseen = SEEN_S if ended > actor.blind_at + UNSEEN_S else UNSEEN_S
        if late <= 0:
            self._seen.counts["in flight when the lease ended"] += 1
        elif how == "broken" and late <= unseen:
            self._seen.counts["begun before the break could be seen"] += 1
        else:
            self._seen.break_(
                "P3",
                f"{actor.name} changes {change.app} in {environment} without the lease on it: its own {how}"
                f" {now - ended:.0f} s ago, now held by {holder.actor if holder and live else 'nobody'}",
            )
