"""How long a plan should take, by how long its steps took before. Pure; an estimate decides nothing.

A step is expected to take the median of what it took in the last records of its app in that
environment: one slow backup does not make all later promotions look slow. What the records do not
tell stays unknown, and is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from statistics import median

from liftlock.model import Deployment, Kind
from liftlock.planning.plan import TIMED, Step, StepKind

COMPARED = 5
"""The median is that of so many of the newest records at most."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How long a plan should take: `seconds` on its longest way, waits for the ledger left out."""

    seconds: float
    is_whole: bool
    """False when some step's time is not known: then it takes at least that long."""


def with_estimates(
    steps: Sequence[Step], earlier: Mapping[str, Sequence[Deployment]], kind: Kind
) -> tuple[Step, ...]:
    """The steps, each with how long it should take where the records tell.

    `earlier` holds each app's records in the environment, newest first. Where there are records of
    the plan's own kind, the others do not count: a rollback finds everything staged already.
    """
    switched = {step.app for step in steps if step.kind is StepKind.RELEASE}

    def expected_s(step: Step) -> float | None:
        if step.kind not in TIMED:
            return None
        # A record that was only moved forward was verified without waiting for it to settle.
        alike = [
            d
            for d in earlier.get(step.app, ())
            if step.kind in d.steps and (StepKind.RELEASE in d.steps) == (step.app in switched)
        ]
        same_kind = [d for d in alike if d.kind is kind] or alike
        took = [d.steps[step.kind].took_s for d in same_kind[:COMPARED]]
        return median(took) if took else None

    return tuple(replace(step, expected_s=expected_s(step)) for step in steps)


def expected_time(steps: Sequence[Step]) -> Expected | None:
    """How long the steps should take together; None when nothing is known of any.

    As long as the longest way through their needs: what does not need each other runs at once.
    """
    switched = {step.app for step in steps if step.kind is StepKind.RELEASE}
    # Where only the record moves, verifying is one look: it counts when it is known, and is not missed.
    long = [step.expected_s for step in steps if step.kind in TIMED and step.app in switched]
    if all(expected_s is None for expected_s in long):
        return None
    by_id = {step.id: step for step in steps}
    ends: dict[str, float] = {}
    for name in TopologicalSorter({step.id: step.needs for step in steps}).static_order():
        begins = max((ends[need] for need in by_id[name].needs), default=0.0)
        ends[name] = begins + (by_id[name].expected_s or 0.0)
    return Expected(max(ends.values()), None not in long)
