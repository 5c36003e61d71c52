"""The gates of state: checks, the source's health, backups, the team's own program, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from liftlock.model import Backup, Check, CheckState, GateCommand, Known, Unknown
from liftlock.planning.gates.facts import UNASKED, Ended, SourceState
from liftlock.planning.gates.times import span
from liftlock.planning.observation import Drift
from liftlock.planning.plan import AppPlan, Verdict

SHOWN_LINES = 20


def checks(
    required: tuple[str, ...] | bool,
    apps: Sequence[AppPlan],
    found: Mapping[str, Sequence[Check] | Unknown],
) -> Verdict:
    """Whether the required checks, or with True all there are, are green on every app's commit.

    A commit of which no check says anything is not green: nobody has looked at it.
    """
    lacking: dict[str, list[str]] = {}
    for app in apps:
        said = _lacking(required, found.get(app.app, UNASKED))
        commit = app.release.short_commit if app.release else "?"
        if said:
            lacking.setdefault(f"on {commit}: {said}", []).append(app.app)
    if lacking:
        reason = "; ".join(f"{', '.join(names)} {what}" for what, names in lacking.items())
        return Verdict("checks", passed=False, reason=reason)
    named = "all that there are" if isinstance(required, bool) else ", ".join(required)
    return Verdict("checks", passed=True, reason=f"green on every commit: {named}")


def _lacking(required: tuple[str, ...] | bool, found: Sequence[Check] | Unknown) -> str:
    """What keeps a commit from being green; "" when nothing does."""
    if isinstance(found, Unknown):
        return f"its checks could not be looked at ({found.reason})"
    by_name: dict[str, list[CheckState]] = {}
    for check in found:
        by_name.setdefault(check.name, []).append(check.state)
    names = sorted(by_name) if isinstance(required, bool) else required
    if not names:
        return "no check has said anything"
    words = {
        "failed": [n for n in names if CheckState.FAILED in by_name.get(n, ())],
        "still runs": [n for n in names if CheckState.PENDING in by_name.get(n, ())],
        "has not begun": [n for n in names if n not in by_name],
    }
    return ", ".join(f"{', '.join(those)} {word}" for word, those in words.items() if those)


def source_healthy(apps: Sequence[AppPlan], found: Mapping[str, SourceState] | Unknown) -> Verdict:
    """Whether the source runs what it records, and none of it is known to be ill."""
    gate = "source_healthy"
    if isinstance(found, Unknown):
        return Verdict(gate, passed=False, reason=f"the source could not be looked at: {found.reason}")
    ill = {app.app: said for app in apps if (said := _ailment(found.get(app.app)))}
    if ill:
        return Verdict(gate, passed=False, reason="; ".join(f"{app} {said}" for app, said in ill.items()))
    return Verdict(gate, passed=True, reason="the source runs what it records")


def _ailment(state: SourceState | None) -> str:
    if state is None:
        return "was not looked at in the source"
    if isinstance(state.running, Unknown):
        return f"could not be looked at in the source ({state.running.reason})"
    match state.drift:
        case Drift.DRIFT:
            return f"is not in the source as it is recorded there ({state.difference})"
        case Drift.UNKNOWN:
            return "cannot be compared with its record in the source"
        case Drift.UNRECORDED:
            return "runs in the source without a record"
        case Drift.NONE:
            ill = isinstance(state.running, Known) and state.running.healthy is False
            return (
                f"is not healthy in the source ({state.running.note or 'as its platform says'})"
                if ill
                else ""
            )


def backup_age(
    limit_s: float, found: Mapping[str, Sequence[Backup] | Unknown] | Unknown, now: datetime
) -> Verdict:
    """Whether every app that is backed up has a complete backup younger than `limit_s`."""
    gate = "backup_age"
    if isinstance(found, Unknown):
        return Verdict(gate, passed=False, reason=f"the backups could not be looked at: {found.reason}")
    old: list[str] = []
    for app, backups in found.items():
        if isinstance(backups, Unknown):
            old.append(f"{app}'s backups could not be looked at ({backups.reason})")
            continue
        newest = max(backups, key=lambda b: b.finished_at, default=None)
        if newest is None:
            old.append(f"{app} has no backup")
        elif (age_s := (now - newest.finished_at).total_seconds()) >= limit_s:
            old.append(
                f"{app}'s newest backup, {newest.id}, is {span(age_s)} old; the limit is {span(limit_s)}"
            )
    if old:
        return Verdict(gate, passed=False, reason="; ".join(old))
    said = f"the newest backup of {', '.join(found)} is younger than {span(limit_s)}"
    return Verdict(gate, passed=True, reason=said if found else "no app here is backed up")


def command(wanted: GateCommand | None, ended: Ended | Unknown) -> Verdict:
    """Whether the team's own program exited with 0."""
    what = " ".join(wanted.run) if wanted else "the command"
    if isinstance(ended, Unknown):
        return Verdict("command", passed=False, reason=f"{what} could not be run: {ended.reason}")
    how = "ran out of time" if ended.exit_code is None else f"exited with {ended.exit_code}"
    last = f": {ended.lines[-1]}" if ended.lines and ended.exit_code != 0 else ""
    return Verdict(
        "command",
        passed=ended.exit_code == 0,
        reason=f"{what} {how}{last}",
        output=ended.lines[-SHOWN_LINES:],
    )


def drift(drifted: Mapping[str, str], *, accept_drift: bool) -> Verdict:
    """Whether nothing that was never recorded is overwritten. Refuses whenever it is asked."""
    what = "; ".join(f"{app}: {how}" for app, how in sorted(drifted.items()))
    reason = f"running differs from recorded ({what})"
    return Verdict("drift", passed=False, reason=reason, overridden="--accept-drift" if accept_drift else "")
