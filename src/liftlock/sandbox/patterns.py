"""Firebase Hosting's URL patterns: globs with extglob, `:name` segments, and regular expressions.

Source: Firebase documentation, "Configure Hosting behavior" and "Glob pattern matching".
"""

from __future__ import annotations

import re
from functools import lru_cache

from liftlock.sandbox.store import Document

_GROUP_ENDS = {"?": "?", "+": "+", "*": "*", "@": ""}


def match(rule: Document, path: str) -> re.Match[str] | None:
    """Whether a rule of a hosting configuration, with its `glob` or `regex`, takes `path`."""
    if "regex" in rule:
        return _regex(rule["regex"]).search(path)
    glob: str = rule.get("glob", "")
    return _glob(glob).fullmatch(path)


def location(template: str, found: re.Match[str]) -> str:
    """A redirect's destination with `:name`, `:name*` and `:1` filled in from the match."""

    def value(reference: re.Match[str]) -> str:
        name = reference[1]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError):
            return reference[0]

    return re.sub(r"(?<!:):([A-Za-z_]\w*|\d+)\*?(?!//)", value, template)


@lru_cache(maxsize=512)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=512)
def _glob(glob: str) -> re.Pattern[str]:
    # The service takes globs without a leading slash for whole paths from the root.
    rooted = glob if glob.startswith(("/", "**", "@", "!", "+", "?(", "*(", "{")) else f"/{glob}"
    return re.compile(_translated(rooted))


def _translated(glob: str) -> str:
    out: list[str] = []
    ends: list[str] = []
    position = 0
    while position < len(glob):
        sign, rest = glob[position], glob[position + 1 :]
        if sign == "!" and rest.startswith("(") and ")" in rest:
            # Whatever is not one of its members up to the next slash, judged with what follows.
            end = glob.index(")", position)
            members, after = _translated(f"@{glob[position + 1 : end + 1]}"), _translated(glob[end + 1 :])
            return f"{''.join(out)}(?!{members}{after}$)[^/]*{after}"
        if sign in "?+*@" and rest.startswith("("):
            out.append("(?:")
            ends.append(f"){_GROUP_ENDS[sign]}")
            position += 1
        elif glob.startswith("**/", position):
            out.append("(?:.*/)?")
            position += 2
        elif glob.startswith("/**", position) and position + 3 == len(glob):
            out.append("(?:/.*)?")
            position += 2
        elif glob.startswith("**", position):
            out.append(".*")
            position += 1
        elif sign == "*":
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        elif sign == "{":
            out.append("(?:")
            ends.append(")")
        elif sign in ")}" and ends:
            out.append(ends.pop())
        elif sign in "|," and ends:
            out.append("|")
        elif sign == ":" and (named := re.match(r"[A-Za-z_]\w*", rest)):
            whole = rest[named.end() :].startswith("*")
            out.append(f"(?P<{named[0]}>{'.*' if whole else '[^/]+'})")
            position += named.end() + whole
        elif sign == "[" and "]" in rest:
            end = glob.index("]", position)
            out.append("[" + glob[position + 1 : end].replace("!", "^", 1).replace("\\", "") + "]")
            position = end
        else:
            out.append(re.escape(sign))
        position += 1
    return "".join(out)
