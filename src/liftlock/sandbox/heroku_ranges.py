"""Heroku's paging of lists by the `Range` header.

`Range: version 5..; max=10, order=desc` (an open bound `]5..` leaves the value itself out). A list
that goes on is answered 206, with the `Next-Range` to ask for. Source: Heroku Dev Center, "Platform API reference", Ranges.
"""

from __future__ import annotations

import re

from liftlock.sandbox.heroku_apps import refuse
from liftlock.sandbox.store import Document

_RANGE = re.compile(r"\s*(\w+)\s+(\]?)([^.;\]]*)\.\.([^;\[]*)(\[?)\s*(?:;(.*))?")
_MOST = 1000
_DEFAULT = 200


def ranged(header: str, rows: list[Document]) -> tuple[list[Document], int, dict[str, str]]:
    """The releases that `header` asks for, the status and the paging headers. Raises a 416."""
    match = _RANGE.fullmatch(header or "version ..")
    if match is None or match[1] not in ("version", "id"):
        raise refuse(416, "requested_range_not_satisfiable", f"Range is not understood: {header}")
    key, after, first, last = match[1], match[2], match[3], match[4].strip()
    options = dict(re.findall(r"(max|order)=(\w+)", match[6] or ""))
    most = min(int(options.get("max", _DEFAULT)), _MOST)
    descending = options.get("order") == "desc"
    rows = sorted(rows, key=lambda row: row[key], reverse=descending)
    if first:
        rows = [
            row for row in rows if _beyond(row[key], first, descending=descending, open_bound=bool(after))
        ]
    if last:
        open_end = bool(match[5])
        rows = [
            row for row in rows if _beyond(row[key], last, descending=not descending, open_bound=open_end)
        ]
    chosen = rows[:most]
    headers = {"accept-ranges": "id, version"}
    if chosen:
        headers["content-range"] = f"{key} {chosen[0][key]}..{chosen[-1][key]}"
    if len(rows) <= most:
        return chosen, 200, headers
    order = ", order=desc" if descending else ""
    headers["next-range"] = f"{key} ]{chosen[-1][key]}..; max={most}{order}"
    return chosen, 206, headers


def _beyond(value: int | str, bound: str, *, descending: bool, open_bound: bool) -> bool:
    limit = int(bound) if isinstance(value, int) and bound.isdecimal() else bound
    if value == limit:
        return not open_bound
    return (str(value) < str(limit) if isinstance(limit, str) else int(value) < limit) == descending
