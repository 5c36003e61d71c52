"""What lies between two environments, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.padding import Padding
from rich.text import Text

from liftlock.cli.output import Output
from liftlock.cli.status_view import age
from liftlock.documents.diff import Addresses
from liftlock.model import Artifact, Commit
from liftlock.planning.comparison import AppComparison, Comparison, Sizes, Standing, authors
from liftlock.wording import size

MOST_COMMITS = 30
"""How many commits of a range are shown without -v."""


def show_diff(output: Output, comparison: Comparison, addresses: Addresses, now: datetime) -> None:
    """The apps that differ, those of one range of commits together, then the others in a line."""
    groups = comparison.groups
    count = sum(map(len, groups))
    output.line(
        f"{comparison.source} compared with {comparison.target}: {count} of {len(comparison.apps)} apps differ"
        if count
        else f"{comparison.source} and {comparison.target} hold the same.",
        style="bold",
    )
    for group in groups:
        output.line()
        _show_group(output, comparison, group, addresses, now)
    if rest := unchanged_in_words(comparison):
        output.line()
        output.line(rest, style="dim", hang=2)


def _show_group(
    output: Output,
    comparison: Comparison,
    group: Sequence[AppComparison],
    addresses: Addresses,
    now: datetime,
) -> None:
    first = group[0]
    names = Text(", ".join(app.app for app in group), style="bold")
    output.show(
        Text("  ").join(
            (names, output.linked(range_in_words(first), addresses.compared.get(first.range, ""), "cyan"))
        )
    )
    if said := standing_in_words(comparison, first):
        style = "" if first.standing is Standing.AHEAD else "yellow"
        output.show(Padding(Text(said, style=style), (0, 0, 0, 2), expand=False))
    if first.note:
        note = f"what lies between could not be told: {first.note}"
        output.show(Padding(Text(note, style="yellow"), (0, 0, 0, 2), expand=False))
    told = first.told if output.verbose else first.told[:MOST_COMMITS]
    for commit in told:
        output.show(_commit_line(output, first.repository, commit, addresses, now))
    if more := len(first.told) - len(told):
        output.line(f"    and {more} older (-v shows all)", style="dim")
    for app in group:
        for line in _artifact_lines(app):
            output.show(Padding(line, (0, 0, 0, 4), expand=False))


def _commit_line(
    output: Output, repository: str, commit: Commit, addresses: Addresses, now: datetime
) -> Text:
    line = (
        Text("  ") + output.linked(commit.short, addresses.commit(repository, commit.sha), "cyan") + Text(" ")
    )
    if commit.pull_request:
        page = addresses.pull_request(repository, commit.pull_request)
        line += output.linked(f"#{commit.pull_request}", page, "cyan") + Text(" ")
    who = "  " + ", ".join(
        part
        for part in (
            commit.author or commit.login,
            age(now - commit.committed_at) if commit.committed_at else "",
        )
        if part
    )
    subject = Text(subject_of(commit))
    room = output.console.width - line.cell_len - len(who)
    if output.console.is_terminal:
        subject.truncate(max(room, 20), overflow="ellipsis")
    return line + subject + Text(who, style="dim")


def _artifact_lines(app: AppComparison) -> list[Text]:
    """What an app would run instead, what that weighs, and its migrations."""
    lines = []
    changes = ", ".join(
        f"{change.part} {short_of(change.before)} → {short_of(change.after)}" for change in app.changes
    )
    if changes:
        lines.append(Text.assemble((app.app, "bold"), f"  {changes}"))
    if app.sizes is not None:
        lines.append(Text(f"{app.app}  {sizes_in_words(app.sizes)}", style="dim"))
    if app.migrations is None:
        lines.append(Text(f"{app.app}  its migrations could not be told", style="yellow"))
    lines += [Text.assemble((f"{app.app}  migration ", "yellow"), path) for path in app.migrations or ()]
    return lines


# Words, for the screen and for release notes.


def subject_of(commit: Commit) -> str:
    """What a commit says, without the number that is shown beside it."""
    number = f"(#{commit.pull_request})"
    return commit.subject.removesuffix(number).rstrip() or commit.short


def short_of(artifact: Artifact | None) -> str:
    return artifact.short if artifact is not None else "nothing"


def range_in_words(app: AppComparison) -> str:
    old = app.target.release.short_commit if app.target else "nothing"
    new = app.source.release.short_commit if app.source else "nothing"
    return f"{old or '?'} → {new or '?'}" if old != new else f"{new} again"


def sizes_in_words(sizes: Sizes) -> str:
    shared = f", {size(sizes.shared_bytes)} of it the same" if sizes.shared_bytes else ""
    return f"{size(sizes.before_bytes)} → {size(sizes.after_bytes)}{shared}"


def standing_in_words(comparison: Comparison, app: AppComparison) -> str:
    """How the commits stand to each other, plainly."""
    source, target, between = comparison.source, comparison.target, app.between
    ahead, behind = (between.ahead, between.behind) if between else (0, 0)
    match app.standing:
        case Standing.AHEAD:
            written = authors(app.commits)
            return f"{_counted(ahead, 'commit')}" + (f" by {', '.join(written)}" if written else "")
        case Standing.BEHIND:
            return f"{target} is ahead: it has {_counted(behind, 'commit')} that {source} lacks"
        case Standing.DIVERGED:
            return (
                f"{source} and {target} have diverged: {source} has {_counted(ahead, 'commit')} that {target}"
                f" lacks, and {target} {_counted(behind, 'commit')} that {source} lacks"
            )
        case Standing.REBUILT:
            return "the same commit, built again: other artifacts"
        case Standing.FIRST:
            about = app.source.release.about if app.source else None
            return f"nothing is recorded in {target} yet" + (f": {about.subject}" if about else "")
        case _:
            return ""


def unchanged_in_words(comparison: Comparison) -> str:
    """The apps that do not differ, in one line; "" when all do."""
    same = [app.app for app in comparison.apps if app.standing is Standing.UNCHANGED]
    absent = [app.app for app in comparison.apps if app.standing is Standing.ABSENT]
    said = [f"Unchanged: {', '.join(same)}."] if same else []
    said += [f"Not recorded in {comparison.source}: {', '.join(absent)}."] if absent else []
    return " ".join(said)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# For machines.
