"""What lies between two environments as Markdown, for release notes.

Whoever may commit writes the subjects: nothing in them may become markup, a mention of somebody, or
a link. Source: CommonMark 0.31, "Backslash escapes"; GitHub's mentions and references are made of
plain text, so a space without width is put into them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from liftlock.cli.diff_view import (
    range_in_words,
    short_of,
    sizes_in_words,
    standing_in_words,
    subject_of,
    unchanged_in_words,
)
from liftlock.documents.diff import Addresses
from liftlock.model import Commit
from liftlock.planning.comparison import AppComparison, Comparison, Standing

_MARKUP = re.compile(r"[\\`*_{}\[\]<>()#!|~&$]")
_AT_THE_START = re.compile(r"^(\d*)([-+=.:])")
_LINKED = (
    (re.compile(r"@(?=\w)"), "@&#8203;"),
    (re.compile(r"\\#(?=\d)"), r"\#&#8203;"),
    (re.compile(r"://"), ":&#8203;//"),
    (re.compile(r"\b(www)\.", re.IGNORECASE), r"\1&#8203;."),
    (re.compile(r"\b(GH)-(?=\d)", re.IGNORECASE), r"\1&#8203;-"),
)


def release_notes(comparison: Comparison, addresses: Addresses) -> str:
    """A Markdown text, a heading for the apps of each range of commits."""
    title = f"## {escaped(comparison.project)}: {escaped(comparison.source)} → {escaped(comparison.target)}"
    parts = [title, *(_group(comparison, group, addresses) for group in comparison.groups)]
    if not comparison.groups:
        parts.append("Nothing differs.")
    if rest := unchanged_in_words(comparison):
        parts.append(escaped(rest))
    return "\n\n".join(parts)


def _group(comparison: Comparison, group: Sequence[AppComparison], addresses: Addresses) -> str:
    first = group[0]
    between = f"`{range_in_words(first).replace(' → ', '` → `')}`".replace(" again`", "` again")
    page = addresses.compared.get(first.range, "")
    parts = [
        f"### {escaped(', '.join(app.app for app in group))}",
        between + (f" ([compare]({_address(page)}))" if page else ""),
    ]
    if first.standing is not Standing.AHEAD and (said := standing_in_words(comparison, first)):
        parts.append(f"**{escaped(said[0].upper() + said[1:])}.**")
    if first.note:
        parts.append(f"What lies between could not be told: {escaped(first.note)}")
    if first.told:
        parts.append("\n".join(_commit(first, commit, addresses) for commit in first.told))
    if first.between and (more := first.between.ahead - len(first.commits)) > 0:
        parts.append(f"And {more} older commits.")
    parts.append("\n".join(line for app in group for line in _artifacts(app)))
    return "\n\n".join(part for part in parts if part)


def _commit(app: AppComparison, commit: Commit, addresses: Addresses) -> str:
    links = []
    if commit.pull_request:
        links.append(
            _link(f"#{commit.pull_request}", addresses.pull_request(app.repository, commit.pull_request))
        )
    links.append(_link(commit.short, addresses.commit(app.repository, commit.sha), code=True))
    who = commit.author or commit.login
    by = f", {escaped(who)}" if who else ""
    return f"- {escaped(subject_of(commit))} ({', '.join(links)}){by}"


def _artifacts(app: AppComparison) -> list[str]:
    name = f"**{escaped(app.app)}**"
    lines = [
        f"- {name} {escaped(change.part)}: `{short_of(change.before)}` → `{short_of(change.after)}`"
        for change in app.changes
    ]
    if app.sizes is not None:
        lines.append(f"- {name} size: {sizes_in_words(app.sizes)}")
    if app.migrations is None:
        lines.append(f"- {name} migrations: could not be told")
    return lines + [f"- {name} migration: {escaped(path)}" for path in app.migrations or ()]


def _link(text: str, address: str, *, code: bool = False) -> str:
    shown = f"`{text}`" if code else escaped(text) if not address else text.replace("#", "\\#")
    return f"[{shown}]({_address(address)})" if address else shown


def _address(address: str) -> str:
    return re.sub(r"[\s()<>]", lambda found: f"%{ord(found[0]):02X}", address)


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, and that mentions nobody."""
    text = _MARKUP.sub(lambda found: f"\\{found[0]}", text)
    text = _AT_THE_START.sub(lambda found: f"{found[1]}\\{found[2]}", text)
    for pattern, broken in _LINKED:
        text = pattern.sub(broken, text)
    return text
