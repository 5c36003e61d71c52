"""The glob patterns of `firebase.json`'s `ignore`, as firebase-tools reads them (minimatch, dot files included)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

ALWAYS_IGNORED = ("**/firebase-debug.log", "**/firebase-debug.*.log", ".firebase/*")
"""What firebase-tools never uploads. Source: its `src/listFiles.ts`."""


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path, relative and with `/`, is matched by any of the patterns.

    `**` stands for any number of folders, `*` and `?` stay within one, `{a,b}` and `[a-z]` choose.
    A pattern that ends in `/**` matches everything below; one that names a folder does not.
    """
    expressions = [re.compile(_expression(_relative(pattern)), re.DOTALL) for pattern in patterns]
    return lambda path: any(expression.fullmatch(path) for expression in expressions)


def _relative(pattern: str) -> str:
    return pattern.removeprefix("./").removeprefix("/")


def _expression(pattern: str) -> str:
    out = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            out.append("(?:[^/]+/)*")
            at += 3
        elif pattern.startswith("**", at) and pattern[at - 1 : at] in {"", "/"} and at + 2 == len(pattern):
            out.append(".*")
            at += 2
        elif pattern[at] == "*":
            out.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            out.append("[^/]")
            at += 1
        else:
            text, at = _literal_or_choice(pattern, at)
            out.append(text)
    return "".join(out)


def _literal_or_choice(pattern: str, at: int) -> tuple[str, int]:
    """`{a,b}` and `[abc]` where they are closed; the character itself otherwise."""
    if pattern[at] == "{" and (end := _closing(pattern, at)) > 0:
        choices = _split(pattern[at + 1 : end])
        if len(choices) > 1:
            return f"(?:{'|'.join(_expression(choice) for choice in choices)})", end + 1
    if pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
        inside = pattern[at + 1 : end]
        negated = inside[0] in "!^"
        body = re.sub(r"[\\\[\]^&~|]", r"\\\g<0>", inside[1:] if negated else inside)
        return f"(?!/)[{'^' if negated else ''}{body}]", end + 1
    if pattern[at] == "\\" and at + 1 < len(pattern):
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(pattern[at]), at + 1


def _closing(pattern: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[at], 0)
        if depth == 0:
            return at
    return -1


def _split(choices: str) -> list[str]:
    """At the commas that stand in no inner braces."""
    parts, depth = [""], 0
    for character in choices:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
