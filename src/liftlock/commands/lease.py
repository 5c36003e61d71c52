"""Leases by hand: who holds an environment, and how it is taken away from a holder that is gone."""

from __future__ import annotations

from liftlock.commands.names import check_names
from liftlock.errors import UsageError
from liftlock.model import Holding, Project
from liftlock.ports import Adapters

MAX_REASON = 500


async def show_lease(project: Project, adapters: Adapters, environment: str) -> Holding | None:
    """Who holds the environment; None when nobody does. Changes nothing."""
    check_names(project, (environment,))
    return await adapters.leases.holding(environment)


async def break_lease(project: Project, adapters: Adapters, environment: str, reason: str) -> Holding:
    """Take the environment away from its holder, who learns by whom and why; returns who that was.

    Raises `UsageError` for an empty reason or one too long to be read, `LiftlockError` when nobody
    holds it.
    """
    check_names(project, (environment,))
    reason = " ".join(reason.split())
    if not reason:
        raise UsageError(
            "A lease is not broken without a reason: its holder and the next one are told it.",
            hint=f'For example: liftlock lease break {environment} --reason "the runner was lost"',
        )
    if len(reason) > MAX_REASON:
        raise UsageError(f"The reason has {len(reason)} characters; {MAX_REASON} at most are recorded.")
    return await adapters.leases.break_(environment, reason)
