"""Heroku apps that a repository's files name: git's remotes, workflows and scripts. Runs nothing, asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from liftlock.commands.adopt.levels import split

_NAME = r"(?P<name>[a-z][a-z0-9-]{0,28}[a-z0-9])"
_ENDS = r"(?P<rest>-\$\{?\{?\s*[\w.]+\s*\}?\}?)?(?![\w$-])"
_MENTIONS = [
    re.compile(start + r"[\"']?" + _NAME + _ENDS)
    for start in (
        r"registry\.heroku\.com/",
        r"git\.heroku\.com/",
        r"git@heroku\.com:",
        r"(?i:\bheroku_app(?:_name)?\b)[\"']?\s*[:=]\s*",
        r"\bheroku\b[^\n#]*\s(?:-a|--app)[ =]",
    )
]
_REMOTE = re.compile(r'^\[remote "(?P<remote>[^"\n]+)"\]\n(?P<body>(?:[ \t].*\n?)*)', re.MULTILINE)
_ENVIRONMENT = re.compile(
    r"^ +environment:[ \t]*(?:\n +name:[ \t]*)?[\"']?([\w-]+)[\"']?[ \t]*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class HerokuName:
    """An app, or the beginning that the apps of all environments share, and the file that names it."""

    name: str
    place: str
    level: str = ""
    """Of an app whose name does not say its environment: what its remote is called says it."""
    is_stem: bool = False
    """Whether a variable follows it, as in `shop-$ENV`."""


def in_text(text: str, place: str) -> Iterator[HerokuName]:
    """The apps that a workflow or a script names."""
    for pattern in _MENTIONS:
        for match in pattern.finditer(text):
            yield HerokuName(match["name"], place, is_stem=match["rest"] is not None)


def of_remotes(config: str) -> Iterator[HerokuName]:
    """The apps that a git configuration's remotes push to."""
    for remote in _REMOTE.finditer(config):
        for one in in_text(remote["body"], f"git's remote {remote['remote']}"):
            said = split(remote["remote"])
            named = split(one.name)
            tells = said is not None and (named is None or not named.stem)
            yield HerokuName(one.name, one.place, said.level if said and tells else "")


def environments(text: str) -> Iterator[str]:
    """What the jobs of a workflow call their environments."""
    yield from (name for name in _ENVIRONMENT.findall(text) if split(name) is not None)
