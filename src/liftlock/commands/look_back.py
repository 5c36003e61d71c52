"""Look whether an app's last states could still be gone back to, before anything is changed.

What a registry or a site has expired is a note on the plan, not a refusal: whoever promotes decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from liftlock.errors import LiftlockError, ours
from liftlock.model import Artifacts, Deployment, Missing, Target, same_artifacts
from liftlock.ports import Platform

STATES = 2
"""How many of the newest states of each app are looked at: what runs, and what ran before it."""
LIMIT_S = 10.0
"""How long a plan may wait for these looks. They go beside its own, which ask the same places."""


async def out_of_reach(
    platform: Platform, target: Target, wanted: Artifacts, records: Sequence[Deployment]
) -> tuple[str, ...]:
    """What is to be said of the last states in `records`, newest first, whose artifacts are gone.

    Nothing is looked at where the newest is what is `wanted`: then nothing is switched. Raises nothing.
    """
    states = _states(records)
    if not states or same_artifacts(states[0].release.artifacts, wanted):
        return ()
    told: list[str] = []
    with anyio.move_on_after(LIMIT_S) as limit:
        for state in states:
            when = f"{state.release.short_commit} of {state.created_at:%Y-%m-%d %H:%M} UTC"
            try:
                with ours(f"look back at {target.app}"):
                    found = await platform.locate(target, state.release, None)
            except LiftlockError as error:
                told.append(f"whether it could be taken back to {when} could not be told: {error.headline}")
            else:
                if isinstance(found, Missing):
                    told.append(f"it cannot be taken back to {when}: {found.reason}")
    if limit.cancelled_caught:
        told.append(f"whether it could be taken back could not be told within {LIMIT_S:.0f} s")
    return tuple(told)


def _states(records: Sequence[Deployment]) -> list[Deployment]:
    """The newest record of each of the last states."""
    states: list[Deployment] = []
    for record in records:
        artifacts = record.release.artifacts
        if artifacts and not any(same_artifacts(artifacts, known.release.artifacts) for known in states):
            states.append(record)
    return states[:STATES]
