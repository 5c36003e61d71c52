"""An error as a part of the JSON documents of `--json`, the API and finished work."""

from __future__ import annotations

from typing import Any

from liftlock.errors import LiftlockError


def error_document(error: LiftlockError | None) -> dict[str, Any] | None:
    """An error in a document: its class, its message, and what to do next; None for none."""
    if error is None:
        return None
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint or None}
