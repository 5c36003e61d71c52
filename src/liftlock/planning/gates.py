"""Gates: conditions that must hold before a plan may run. Pure functions of the plan's facts and the time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from liftlock.model import Deployment, Gates
from liftlock.planning.plan import AppPlan, Verdict

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    r"(?P<first>\w{3})(?:-(?P<last>\w{3}))? (?P<start>\d{2}:\d{2})-(?P<end>\d{2}:\d{2}) (?P<zone>\S+)"
)


def judge(
    gates: Gates,
    *,
    apps: Iterable[AppPlan],
    drifted: Mapping[str, str],
    now: datetime,
    approvals: int,
    accept_drift: bool,
    overrides: Mapping[str, str],
) -> tuple[Verdict, ...]:
    """What every gate says of a plan: the configured ones, and drift, which always counts.

    `drifted` says per app, in words, how running differs from recorded; `approvals` is the number
    of people other than the requester who approved this plan.
    """
    changing = [a for a in apps if a.changes]
    verdicts: list[Verdict] = []
    if gates.soak_s:
        verdicts.append(_soak(gates.soak_s, (a.source_deployment for a in changing), now))
    if gates.window:
        verdicts.append(_window(gates.window, now))
    if gates.approvals:
        verdicts.append(_approvals(gates.approvals, approvals))
    if drifted:
        verdicts.append(_drift(drifted, accept_drift=accept_drift))
    return tuple(
        v
        if v.passed or v.gate not in overrides
        else Verdict(
            v.gate, passed=False, reason=v.reason, passes_at=v.passes_at, overridden=overrides[v.gate]
        )
        for v in verdicts
    )


def _soak(needed_s: float, deployments: Iterable[Deployment | None], now: datetime) -> Verdict:
    newest = max((d for d in deployments if d is not None), key=lambda d: d.created_at, default=None)
    if newest is None:
        return Verdict("soak", passed=True, reason="nothing new has to soak")
    ready_at = newest.created_at + timedelta(seconds=needed_s)
    soaked = _span((now - newest.created_at).total_seconds())
    what = f"{newest.app} {newest.release.short_commit}"
    reason = f"{what} has run in {newest.environment} for {soaked} of {_span(needed_s)}"
    return Verdict("soak", passed=now >= ready_at, reason=reason, passes_at=ready_at)


def _approvals(needed: int, given: int) -> Verdict:
    return Verdict("approvals", passed=given >= needed, reason=f"{given} of {needed} given")


def _drift(drifted: Mapping[str, str], *, accept_drift: bool) -> Verdict:
    what = "; ".join(f"{app}: {how}" for app, how in sorted(drifted.items()))
    reason = f"running differs from recorded ({what})"
    return Verdict("drift", passed=False, reason=reason, overridden="--accept-drift" if accept_drift else "")


def _window(windows: str, now: datetime) -> Verdict:
    openings = [_opening(text.strip(), now) for text in windows.split(";") if text.strip()]
    if any(start <= now < end for start, end in openings):
        return Verdict("window", passed=True, reason=f"open: {windows}")
    upcoming = min((start for start, _ in openings if start > now), default=None)
    return Verdict("window", passed=False, reason=f"closed: it opens {windows}", passes_at=upcoming)


def _opening(text: str, now: datetime) -> tuple[datetime, datetime]:
    """The opening of one window that holds `now`, else its next one."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(f"not a window: {text!r}; write for example Mon-Thu 09:00-16:00 America/Santiago")
    first = _DAYS.index(match["first"])
    last = _DAYS.index(match["last"] or match["first"])
    days = {(first + i) % 7 for i in range((last - first) % 7 + 1)}
    zone = ZoneInfo(match["zone"])
    start, end = time.fromisoformat(match["start"]), time.fromisoformat(match["end"])
    local = now.astimezone(zone)
    for offset in range(-1, 9):
        day = local.date() + timedelta(days=offset)
        opens = datetime.combine(day, start, zone)
        closes = datetime.combine(day if end > start else day + timedelta(days=1), end, zone)
        if day.weekday() in days and closes > now:
            return opens, closes
    raise ValueError(f"a window that never opens: {text!r}")


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
