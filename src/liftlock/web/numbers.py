"""How often a team deploys, how soon, how often that fails, and how soon it is mended. Pure.

The four keys of DORA's reports, from the records alone. Each is said with how it is computed (`MEANINGS`);
what the records do not tell is None, and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from statistics import median

from liftlock.commands.history import Entry
from liftlock.model import EMPTY, Kind, State


@dataclass(frozen=True, slots=True)
class Meaning:
    """A number's name, and how it is computed."""

    name: str
    how: str


MEANINGS = {
    "frequency": Meaning(
        "Deployment frequency",
        "Promotions, deploys and other tools' records that succeeded, by day. Rollbacks and records of what ran"
        " already do not count. A promotion of many apps is one.",
    ),
    "lead_time": Meaning(
        "Lead time",
        "From a commit to its release here having been seen healthy: the median over every app of every"
        " deployment that succeeded, of the newest commit that it brought. Commits whose time the records do not"
        " tell are left out.",
    ),
    "failure_rate": Meaning(
        "Change failure rate",
        "Of the promotions and deploys that ended, those that failed, or that a later rollback took back.",
    ),
    "restore": Meaning(
        "Time to restore",
        "The median over those that failed. Taken back by a rollback: from its end to the rollback's. Put back by"
        " itself: from its begin to its end. Left for a person: from its begin to the next success. What is not"
        " restored yet does not count.",
    ),
}
WEEK = timedelta(days=7)


class Outcome(StrEnum):
    """How a change ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Everything runs as before."""
    MIXED = "mixed"
    """A person was needed."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Change:
    """One promotion, deploy, rollback or other tool's record."""

    id: str
    environment: str
    began_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    commits: Mapping[str, datetime | None] = field(default_factory=lambda: EMPTY)
    """By app, when the commit that it brought was made; None where nobody tells."""
    is_rollback: bool = False
    reverts: tuple[str, ...] = ()

    def of(self, app: str) -> bool:
        return not app or app in self.commits


@dataclass(frozen=True, slots=True)
class Week:
    """What happened in seven days."""

    since: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The four numbers of an environment, for one app or for all."""

    environment: str
    app: str
    """"" for all."""
    deployments: int
    per_day: float
    lead_time_s: float | None
    lead_time_p90_s: float | None
    lead_times: int
    """Of how many releases the lead time is known."""
    changes: int
    failures: int
    restore_s: float | None
    restored: int
    """How many failures the time to restore is made of."""
    weeks: tuple[Week, ...] = ()

    @property
    def failure_rate(self) -> float | None:
        return self.failures / self.changes if self.changes else None


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of a project over some days."""

    since: datetime
    until: datetime
    days: int
    environments: Mapping[str, Numbers]
    apps: Mapping[tuple[str, str], Numbers]
    """By environment and app."""
    is_cut: bool = False
    """Whether there was more than is looked through: then the oldest are missing."""


_OUTCOMES = {
    State.SUCCESS: Outcome.SUCCEEDED,
    State.INACTIVE: Outcome.SUCCEEDED,
    State.FAILURE: Outcome.FAILED,
    State.ERROR: Outcome.MIXED,
}


def change_of(entry: Entry) -> Change | None:
    """An entry of the history as a change; None for one that changed nothing."""
    intent, record = entry.intent, entry.deployment
    if intent is not None:
        if intent.kind is Kind.RECORD:
            return None
        return Change(
            intent.id,
            intent.environment,
            intent.created_at,
            intent.finished_at,
            _OUTCOMES.get(intent.state, Outcome.OPEN),
            {app: r.about.committed_at if r.about else None for app, r in intent.releases.items()},
            intent.kind is Kind.ROLLBACK,
            tuple(filter(None, intent.reverts.split(","))),
        )
    if record is None:
        return None
    outcome = (
        Outcome.SUCCEEDED if record.counts else _OUTCOMES.get(record.state or State.SUCCESS, Outcome.OPEN)
    )
    if outcome is Outcome.MIXED:  # another tool's error says nothing of what runs
        outcome = Outcome.FAILED
    about = record.release.about
    commits = {record.app: about.committed_at if about else None}
    return Change(record.id, record.environment, record.created_at, record.created_at, outcome, commits)


def report(
    changes: Iterable[Change],
    environments: Sequence[str],
    apps: Sequence[str],
    until: datetime,
    days: int,
    *,
    is_cut: bool = False,
) -> Report:
    """The numbers of the days before `until`, of every environment and of every app in it."""
    since = until - timedelta(days=days)
    by_environment: dict[str, list[Change]] = {name: [] for name in environments}
    by_app: dict[tuple[str, str], list[Change]] = {(name, app): [] for name in environments for app in apps}
    for change in changes:
        if change.environment not in by_environment:
            continue
        by_environment[change.environment].append(change)
        for app in change.commits:
            if (change.environment, app) in by_app:
                by_app[change.environment, app].append(change)
    return Report(
        since,
        until,
        days,
        {name: numbers(found, name, "", since, until) for name, found in by_environment.items()},
        {place: numbers(found, *place, since, until) for place, found in by_app.items()},
        is_cut,
    )


def numbers(
    changes: Iterable[Change], environment: str, app: str, since: datetime, until: datetime
) -> Numbers:
    """The numbers of changes of one environment, and of one app unless that is ""."""
    told = sorted((c for c in changes if c.of(app)), key=lambda c: c.began_at)
    within = [c for c in told if c.ended_at is not None and since <= c.ended_at <= until]
    rolled_back = _rolled_back(told)
    tried = [c for c in within if not c.is_rollback and c.outcome is not Outcome.OPEN]
    arrived = [c for c in tried if c.outcome is Outcome.SUCCEEDED]
    failed = [c for c in tried if c.outcome is not Outcome.SUCCEEDED or c.id in rolled_back]
    leads = sorted(
        (c.ended_at - at).total_seconds()
        for c in arrived
        for name, at in c.commits.items()
        if at is not None and c.ended_at is not None and (not app or name == app) and at <= c.ended_at
    )
    restores = [s for c in failed if (s := _restored_after(c, rolled_back, told)) is not None]
    days = max((until - since).total_seconds() / 86400, 1e-9)
    return Numbers(
        environment,
        app,
        len(arrived),
        len(arrived) / days,
        median(leads) if leads else None,
        leads[ceil(0.9 * len(leads)) - 1] if leads else None,
        len(leads),
        len(tried),
        len(failed),
        median(restores) if restores else None,
        len(restores),
        _weeks(arrived, failed, since, until),
    )


def _rolled_back(changes: Sequence[Change]) -> Mapping[str, Change]:
    """By the id of what was taken back, the rollback that did it."""
    return {
        id_: change
        for change in changes
        if change.is_rollback and change.outcome is Outcome.SUCCEEDED
        for id_ in change.reverts
    }


def _restored_after(
    change: Change, rolled_back: Mapping[str, Change], changes: Sequence[Change]
) -> float | None:
    """How long a failed change was felt, in seconds; None for as long as it is."""
    if change.ended_at is None:
        return None
    if change.id in rolled_back and change.outcome is Outcome.SUCCEEDED:
        ended = rolled_back[change.id].ended_at
        return max((ended - change.ended_at).total_seconds(), 0.0) if ended else None
    if change.outcome is Outcome.FAILED:
        return (change.ended_at - change.began_at).total_seconds()
    later = (
        c.ended_at
        for c in changes
        if c.outcome is Outcome.SUCCEEDED
        and c.ended_at is not None
        and c.ended_at > change.ended_at
        and c.commits.keys() & change.commits.keys()
    )
    mended = min(later, default=None)
    return (mended - change.began_at).total_seconds() if mended else None


def _weeks(
    arrived: Sequence[Change], failed: Sequence[Change], since: datetime, until: datetime
) -> tuple[Week, ...]:
    """Whole weeks back from `until`, oldest first; the oldest may begin before `since`."""
    many = max(ceil((until - since) / WEEK), 1)
    first = until - many * WEEK
    good, bad = [0] * many, [0] * many
    fell = {change.id for change in failed}
    for change in arrived:
        if change.id not in fell:
            good[_week(change, first, many)] += 1
    for change in failed:
        bad[_week(change, first, many)] += 1
    return tuple(Week(first + n * WEEK, good[n], bad[n]) for n in range(many))


def _week(change: Change, first: datetime, many: int) -> int:
    at = change.ended_at or change.began_at
    return min(max(int((at - first) / WEEK), 0), many - 1)
