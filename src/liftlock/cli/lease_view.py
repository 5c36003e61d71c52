"""A lease, for people and for machines."""

from __future__ import annotations

from liftlock.model import Holding
from liftlock.wording import moment


def held(environment: str, holding: Holding | None) -> str:
    """One line that says who holds it."""
    if holding is None:
        return f"Nobody holds {environment}."
    return (
        f"{holding.holder} holds {environment} for {holding.purpose}, since {moment(holding.since)}, "
        f"until {moment(holding.until)} unless it is renewed (token {holding.token})."
    )


def broken(holding: Holding) -> str:
    """What breaking it did, and what comes next."""
    where = holding.environment
    return (
        f"Took {where} away from {holding.holder}, who held it for {holding.purpose} since "
        f"{moment(holding.since)}: {holding.broken}\n"
        f"See what it left behind with: liftlock status {where}. Then: liftlock resume {where}"
    )
