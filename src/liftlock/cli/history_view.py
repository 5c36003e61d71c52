"""History, for people and for machines: the list, and one promotion in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from liftlock import wording
from liftlock.cli import timeline
from liftlock.cli.output import Output
from liftlock.cli.status_view import age
from liftlock.commands.history import Account, Entry
from liftlock.documents.history import state_of, took_s
from liftlock.engine.announce import origin
from liftlock.model import Backup, Deployment, Intent, State, Unknown
from liftlock.planning.plan import TIMED


def show_history(
    output: Output, entries: Sequence[Entry], now: datetime, *, is_filtered: bool = False
) -> None:
    """Newest first, a line each; in a terminal that is too narrow for it, a few lines each."""
    if not entries:
        output.line("Nothing fits these conditions." if is_filtered else "Nothing is recorded yet.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in ("when", "environment", "what", "apps", "who", "outcome", "id"):
        table.add_column(column, no_wrap=column not in {"apps", "outcome"})
    rows = [_entry(entry, now) for entry in entries]
    for row in rows:
        table.add_row(*row)
    if output.fits(table):
        output.show(table)
        return
    for when, environment, what, apps, who, outcome, id_ in rows:
        output.show(
            Text("  ").join((Text(when.plain, style="bold"), environment, what, who, id_)),
            Padding(apps, (0, 0, 0, 4), expand=False),
            Padding(outcome, (0, 0, 0, 4), expand=False),
        )


def _entry(entry: Entry, now: datetime) -> tuple[Text, ...]:
    when = Text(f"{entry.at:%Y-%m-%d %H:%M} ({age(now - entry.at)})")
    if entry.intent is not None:
        intent = entry.intent
        what = f"{intent.kind} from {intent.source}" if intent.source else intent.kind.value
        by_commit: dict[str, list[str]] = {}
        for name, release in intent.releases.items():
            by_commit.setdefault(release.short_commit, []).append(name)
        apps = "; ".join(f"{commit} {' '.join(names)}" for commit, names in by_commit.items())
        return (
            when,
            Text(entry.environment),
            Text(what),
            Text(apps),
            Text(intent.creator),
            _outcome(intent),
            Text(intent.id, style="dim"),
        )
    if entry.deployment is None:
        raise ValueError("a history entry is an intent or a deployment")
    deployment = entry.deployment
    state = deployment.state.value if deployment.state else "no status"
    return (
        when,
        Text(entry.environment),
        Text("another tool"),
        Text(f"{deployment.app} {deployment.release.short_commit}"),
        Text(deployment.creator),
        Text(state, style="dim"),
        Text(deployment.id, style="dim"),
    )


def _ending(intent: Intent) -> Text:
    """How it ended and how long that took, in a few words."""
    styles: Mapping[State, str] = {State.SUCCESS: "green", State.FAILURE: "red", State.ERROR: "bold red"}
    text = Text(state_of(intent), style=styles.get(intent.state, "yellow"))
    if (seconds := took_s(intent)) is not None:
        text.append(f" in {wording.duration(seconds)}", style="dim")
    return text


def _outcome(intent: Intent) -> Text:
    text = _ending(intent)
    if intent.state in {State.FAILURE, State.ERROR} and intent.description:
        text.append(f": {intent.description.removeprefix('failed: ')}", style="dim")
    for gate, why in intent.overrides.items():
        text.append(f"; {gate} overridden ({why})", style="yellow")
    return text


def show_account(output: Output, account: Account, now: datetime) -> None:
    """One promotion: what it was, app by app, what had to hold, its backups and its times."""
    intent = account.intent
    what = origin(intent.kind, intent.source, intent.environment)
    title = Text(f"{what[0].upper()}{what[1:]}", style="bold")
    title.append(f"   {intent.id}   ", style="dim")
    title.append_text(_ending(intent))
    output.show(title)
    output.line()
    for name, said in _facts(account, now):
        output.line(f"  {name:<10}{said}", hang=12)
    output.line()
    output.show(Padding(_apps(account), (0, 0, 0, 2), expand=False))
    rows = _rows(account)
    if rows:
        output.line()
        console = output.console
        for line in timeline.draw(rows, min(console.width, timeline.WIDEST)):
            console.print(line, soft_wrap=True)
    if intent.is_open:
        output.line()
        output.line(f"If it was killed: liftlock resume {intent.environment} --wait 12m", style="yellow")


def _facts(account: Account, now: datetime) -> list[tuple[str, str]]:
    """What is known of the whole, each with its name."""
    intent = account.intent
    who = f" by {intent.creator}" if intent.creator else ""
    facts = [("begun", f"{wording.moment(intent.created_at)} ({age(now - intent.created_at)} ago){who}")]
    if intent.finished_at is not None:
        what = origin(intent.kind, intent.source, intent.environment)
        said = intent.description.removeprefix(f"{what}: ")
        facts.append(("ended", f"{wording.moment(intent.finished_at)}{f': {said}' if said else ''}"))
    facts.append(("plan", intent.plan_digest))
    if intent.reverts:
        facts.append(("takes back", wording.listed(intent.reverts.split(","))))
    if not intent.undo_on_failure:
        facts.append(("asked", "to leave everything as it stands on failure"))
    for gate, why in intent.overrides.items():
        accepted = gate == "drift" and why == "--accept-drift"
        facts.append(("gate", "drift was accepted" if accepted else f"{gate} was overridden: {why}"))
    if isinstance(account.approvals, Unknown):
        facts.append(("approvals", f"not known: {account.approvals.reason}"))
    else:
        facts += [("approved", f"by {a.account}, {wording.moment(a.at)}") for a in account.approvals]
    for backup in account.backups:
        facts.append(("backup", _backup_text(backup)))
    if intent.url:
        facts.append(("address", intent.url))
    return facts


def _backup_text(backup: Backup) -> str:
    took = wording.duration((backup.finished_at - backup.started_at).total_seconds())
    return (
        f"{backup.id} of {backup.app}, {wording.size(backup.size_bytes)},"
        f" complete at {wording.moment(backup.finished_at)} after {took}"
    )


def _apps(account: Account) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column()
    for app, release in account.intent.releases.items():
        before, made = account.replaced.get(app), account.records.get(app)
        old = before.release.short_commit if before else ""
        moved = (
            release.short_commit if old in {"", release.short_commit} else f"{old} → {release.short_commit}"
        )
        recorded = f"record {made.id}" if made else "not recorded"
        about = release.about.subject if release.about else ""
        table.add_row(Text(app, style="bold"), Text(moved), Text(recorded, style="dim"), Text(about))
    return table


def _rows(account: Account) -> list[timeline.Row]:
    """The steps of every app that was recorded, in the order of the apps' first switch."""

    def begun_s(app: str) -> float:
        steps = account.records[app].steps
        return max((time.began_s for time in steps.values()), default=0.0)

    return [
        timeline.Row(app, kind.value, account.records[app].steps[kind])
        for app in sorted(account.records, key=begun_s)
        for kind in TIMED
        if kind in account.records[app].steps
    ]


def show_record(output: Output, record: Deployment, now: datetime) -> None:
    """A record that another tool made."""
    output.show(Text(f"Record of {record.app} in {record.environment}   {record.id}", style="bold"))
    output.line()
    who = f" by {record.creator}" if record.creator else ""
    state = record.state.value if record.state else "no status"
    parts = ", ".join(f"{part} {artifact.short}" for part, artifact in record.release.artifacts.items())
    for name, said in (
        (
            "made",
            f"{wording.moment(record.created_at)} ({age(now - record.created_at)} ago){who}, not by liftlock",
        ),
        ("state", state),
        ("commit", record.release.commit),
        ("artifacts", parts or "none that can be read"),
        ("address", record.url),
    ):
        if said:
            output.line(f"  {name:<10}{said}", hang=12)
