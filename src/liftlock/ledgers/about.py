"""What records say of a commit, for readers: its subject, its author, its pull request.

It is read by people alone, so one that is malformed is one that is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from liftlock.model import Commit, Release
from liftlock.wording import clipped, moment_or_none

MAX_SUBJECT = 200
MAX_NAME = 100
"""In characters: a record holds one of each, an intent one of each for every commit of its apps."""


def written_about(commit: Commit | None) -> dict[str, Any]:
    """A commit as it stands in a payload; empty where nothing is known of it."""
    if commit is None:
        return {}
    told = {
        "subject": clipped(commit.subject, MAX_SUBJECT),
        "author": clipped(commit.author, MAX_NAME),
        "login": clipped(commit.login, MAX_NAME),
        "at": commit.committed_at.isoformat() if commit.committed_at else "",
        "pull_request": commit.pull_request,
    }
    return {name: value for name, value in told.items() if value}


def read_about(told: object, sha: str) -> Commit | None:
    """What a payload says of the commit `sha`; None where it says nothing."""
    if not isinstance(told, Mapping) or not told:
        return None
    return Commit(
        sha=sha,
        subject=_text(told, "subject", MAX_SUBJECT),
        author=_text(told, "author", MAX_NAME),
        login=_text(told, "login", MAX_NAME),
        committed_at=moment_or_none(told.get("at")),
        pull_request=_number(told.get("pull_request")),
    )


def written_commits(releases: Iterable[Release]) -> dict[str, Any]:
    """By sha, what is known of every commit of these releases: many apps are built from one."""
    return {r.commit: told for r in releases if r.commit and (told := written_about(r.about))}


def _text(told: Mapping[str, Any], name: str, most: int) -> str:
    value = told.get(name)
    return clipped(value[: 4 * most], most) if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
