"""Who holds an environment, for machines."""

from __future__ import annotations

from typing import Any

from liftlock.model import Holding


def lease_document(environment: str, holding: Holding | None) -> dict[str, Any]:
    """What `--json` prints; `holding` is null when nobody holds it."""
    document: dict[str, Any] = {"environment": environment, "holding": None}
    if holding is not None:
        document["holding"] = {
            "holder": holding.holder,
            "purpose": holding.purpose,
            "since": holding.since.isoformat(),
            "until": holding.until.isoformat(),
            "token": holding.token,
            "broken": holding.broken,
        }
    return document
