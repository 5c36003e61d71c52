"""What a commit's message says: its subject, and the pull request that brought it."""

from __future__ import annotations

import re

_MERGE = re.compile(r"Merge pull request #(\d{1,9}) from \S+\s*")
_SQUASH = re.compile(r"\(#(\d{1,9})\)\s*")


def read_message(message: str) -> tuple[str, int | None]:
    """The subject, and the number of the pull request; None when no message names one.

    Of GitHub's own merge commits the subject is the pull request's title, which their body begins
    with: "Merge pull request #12 from team/topic" says nothing about what changed.
    """
    subject, _, body = message.strip().partition("\n")
    if merge := _MERGE.fullmatch(subject):
        title = next((line for line in body.splitlines() if line.strip()), "")
        return title.strip() or subject, int(merge[1])
    squash = next(reversed(list(_SQUASH.finditer(subject))), None)
    number = int(squash[1]) if squash and squash.end() == len(subject) else None
    return subject.strip(), number
