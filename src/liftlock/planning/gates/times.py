"""The gates of time: soak, windows and freezes. Their texts' forms are read here, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from liftlock.model import Deployment, same_artifacts
from liftlock.planning.plan import AppPlan, Verdict

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    r"(?P<first>\w{3})(?:-(?P<last>\w{3}))? (?P<start>\d{2}:\d{2})-(?P<end>\d{2}:\d{2}) (?P<zone>\S+)"
)
_MOMENT = r"(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2}))?"
FREEZE = re.compile(rf"{_MOMENT} \.\. {_MOMENT} (\S+)")


def soak(
    needed_s: float, apps: Iterable[AppPlan], ran: Mapping[str, Sequence[Deployment]], now: datetime
) -> Verdict:
    """Whether every release has been in place in the source for long enough, all times of it together.

    A release that was superseded there keeps what it has soaked, and soaks no further.
    """
    lacking: list[tuple[datetime | None, str]] = []
    soaked: list[str] = []
    for app in apps:
        pinned = app.source_deployment
        if pinned is None:
            continue
        had_s, runs_on = _had_s(pinned, ran.get(app.app) or [pinned], now)
        said = f"{app.app} {pinned.release.short_commit} has run in {pinned.environment} for {span(had_s)}"
        if had_s >= needed_s:
            soaked.append(f"{said} of {span(needed_s)}")
        elif runs_on:
            lacking.append((now + timedelta(seconds=needed_s - had_s), f"{said} of {span(needed_s)}"))
        else:
            lacking.append((None, f"{said} of {span(needed_s)}, and was superseded there"))
    if not lacking:
        return Verdict("soak", passed=True, reason=soaked[0] if soaked else "nothing new has to soak")
    times = [at for at, _ in lacking]
    # Told is the one that takes longest; one that never will be ready takes longer than any.
    worst = max(lacking, key=lambda each: (each[0] is None, each[0] or now))
    more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
    passes_at = None if None in times else max(at for at in times if at is not None)
    return Verdict("soak", passed=False, reason=worst[1] + more, passes_at=passes_at)


def _had_s(pinned: Deployment, newest_first: Sequence[Deployment], now: datetime) -> tuple[float, bool]:
    """For how long the release was the one in place, in seconds, and whether it still is."""
    until, total_s, runs_on = now, 0.0, False
    for position, record in enumerate(d for d in newest_first if d.counts):
        if _is_same(record, pinned):
            total_s += max((until - record.created_at).total_seconds(), 0.0)
            runs_on = runs_on or position == 0
        until = record.created_at
    return total_s, runs_on


def _is_same(record: Deployment, pinned: Deployment) -> bool:
    ours, theirs = record.release.artifacts, pinned.release.artifacts
    return record.id == pinned.id or (bool(ours) and same_artifacts(ours, theirs))


def window(windows: str, now: datetime) -> Verdict:
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
    first = DAYS.index(match["first"])
    last = DAYS.index(match["last"] or match["first"])
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


def freeze(freezes: Sequence[str], now: datetime) -> Verdict:
    """Whether no freeze holds. It could pass when the last of those that follow each other ends."""
    spans = sorted((freeze_of(text) for text in freezes), key=lambda each: each[0])
    frozen = [text for text in freezes if _holds(freeze_of(text), now)]
    if not frozen:
        ahead = next((start for start, _ in spans if start > now), None)
        said = f"; the next freeze begins {ahead:%a %Y-%m-%d %H:%M %Z}" if ahead else ""
        return Verdict("freeze", passed=True, reason=f"nothing is frozen{said}")
    thaws = now.astimezone(freeze_of(frozen[0])[1].tzinfo)
    for start, end in spans:
        if start <= thaws < end:
            thaws = end
    return Verdict("freeze", passed=False, reason=f"frozen: {'; '.join(frozen)}", passes_at=thaws)


def freeze_of(text: str) -> tuple[datetime, datetime]:
    """When a freeze begins and when it ends. Raises ValueError, saying what is wrong with `text`.

    `2026-12-20 .. 2027-01-04 America/Santiago` holds from the beginning of the first day to the
    end of the last; either may have a time: `2026-12-20 18:00 .. 2027-01-04 America/Santiago`.
    """
    match = FREEZE.fullmatch(text)
    if match is None:
        raise ValueError("is not a freeze")
    first, start, last, end, zone_name = match.groups()
    zone = ZoneInfo(zone_name)
    begins = datetime.combine(date.fromisoformat(first), time.fromisoformat(start or "00:00"), zone)
    if end:
        ends = datetime.combine(date.fromisoformat(last), time.fromisoformat(end), zone)
    else:
        ends = datetime.combine(date.fromisoformat(last) + timedelta(days=1), time(), zone)
    if ends <= begins:
        raise ValueError("ends before it begins")
    return begins, ends


def _holds(frozen: tuple[datetime, datetime], now: datetime) -> bool:
    return frozen[0] <= now < frozen[1]


def span(seconds: float) -> str:
    """How long, as gates say it: 40 s, 90 min, 2 h 0 min, 3 d 4 h."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
