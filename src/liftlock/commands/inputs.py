"""Whether what an app is made from changed: the patterns of `paths` against a list of files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def any_matches(files: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether a file is covered by a pattern: `*` stays in a folder, `**` crosses folders.

    A pattern that names a folder covers what is in it.
    """
    compiled = [_compiled(pattern) for pattern in patterns]
    return any(pattern.fullmatch(file) for file in files for pattern in compiled)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./").rstrip("/"))
    return re.compile("".join(words.get(part) or re.escape(part) for part in parts) + "(?:/.*)?")
