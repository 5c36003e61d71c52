"""Payloads of entries that move from one ledger to another: the ids in them are those of where they are. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from liftlock.ledgers.payload import FORMAT, OURS
from liftlock.ports import Entry

Renamed = Callable[[str, object], str]
"""(kind, id there) -> id here."""


def moved(entry: Entry, renamed: Renamed) -> Entry:
    """The entry as the other ledger keeps it, its own id left as it is."""
    promotion = renamed("intent", entry.promotion) if entry.promotion else ""
    return replace(entry, promotion=promotion, payload=_moved(entry.payload, renamed))


def same(one: Entry, other: Entry) -> bool:
    """Whether two entries say the same, whatever their ids are; a payload's JSON may be written in different ways."""
    plain = replace(one, id="", payload=""), replace(other, id="", payload="")
    return plain[0] == plain[1] and _read(one.payload) == _read(other.payload)


def _moved(payload: str, renamed: Renamed) -> str:
    whole = _read(payload)
    if isinstance(whole, str):  # as some tools write it: JSON in a string
        whole = _read(whole)
    ours = whole.get(OURS) if isinstance(whole, dict) else None
    if not isinstance(ours, dict) or ours.get("format") != FORMAT:
        return payload
    ours = dict(ours)
    if "releases" in ours:
        replaced = ours.get("replaced")
        if isinstance(replaced, dict):
            ours["replaced"] = {app: renamed("deployment", id_) for app, id_ in replaced.items() if id_}
        _rename(ours, "reverts", "intent", renamed)
    else:
        _rename(ours, "promotion", "intent", renamed)
        _rename(ours, "replaced", "deployment", renamed)
        source = ours.get("source")
        if isinstance(source, dict):
            ours["source"] = dict(source)
            _rename(ours["source"], "deployment", "deployment", renamed)
    return json.dumps({**whole, OURS: ours}, separators=(",", ":"))


def _rename(part: dict[str, Any], name: str, kind: str, renamed: Renamed) -> None:
    if part.get(name):
        part[name] = renamed(kind, part[name])


def _read(payload: str) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload
