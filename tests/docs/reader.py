"""Somebody who follows a page: types what it shows, and compares what the terminal says.

Commits, ids, times and sizes differ at every run, and columns are as wide as what is in them:
they are compared as if they were all the same. A page may leave lines out, but shows none that
is not printed, and in no other order.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import Block, blocks

ANSWERS = """
liftlock() {
  case " $* " in
    *" --yes "* | *" --confirm "*) command liftlock "$@" ;;
    " backups restore "*) command liftlock "$@" --confirm "$3" ;;
    " rollback "*" --restore-database "*) command liftlock "$@" --yes --confirm "$2" ;;
    " backups prune "* | " promote "* | " deploy "* | " rollback "* | " resume "* | " record "*) command liftlock "$@" --yes ;;
    *) command liftlock "$@" ;;
  esac
}
"""
"""What a reader answers when a command asks: yes, and the environment's name."""

SAME = (
    (rf"\b{re.escape(pwd.getpwuid(os.getuid()).pw_name)}\b", "me"),
    (r"\b[0-9a-f]{7,64}\b", "#"),
    (r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?( UTC)?", "DATE"),
    (r"\d+(\.\d+)? (ms|s|min|h|d|days?)\b( \d+ (s|min|h)\b)?", "TIME"),
    (r"\d+(\.\d+)? (B|kB|MB|GB)\b", "SIZE"),
    (r"@[\w.-]+ pid", "@host pid"),
    (r"(?<!\w)/[\w./-]+", "PATH"),
    (r"\d+", "N"),
    (r"[─━═╌▏▎▍▌▋▊▉█]+", "—"),
    (r"\s+", " "),
)


@dataclass(frozen=True, slots=True)
class Typed:
    """Lines that are typed, and what the page shows below them; "" where it shows nothing."""

    block: Block
    shown: str


def typed(page: Path) -> Sequence[Typed]:
    """What is typed on a page, in order, but what is marked `not run`."""
    found = list(blocks(page))
    return [
        Typed(one, following.text if following is not None and following.kind == "text" else "")
        for one, following in zip(found, [*found[1:], None], strict=True)
        if one.kind == "sh" and not one.mark.startswith("not run")
    ]


def read(text: str) -> list[str]:
    """The lines of a terminal, as they are compared."""
    lines = text.splitlines()
    for pattern, same in SAME:
        lines = [re.sub(pattern, same, line) for line in lines]
    return [line.strip() for line in lines if line.strip()]


def missing(shown: str, printed: str) -> list[str]:
    """The lines of a page that were not printed, or not in that order."""
    left = iter(read(printed))
    return [line for line in read(shown) if line != "…" and line not in left]


def type_in(script: str, folder: Path, variables: Mapping[str, str]) -> str:
    """What the terminal of a shell shows that stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "-e", "-c", ANSWERS + script],
        cwd=folder,
        env={**variables, "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def follow(steps: Iterable[Typed], folder: Path, variables: Mapping[str, str]) -> str:
    """Type the blocks into one shell, and see that it prints what the page shows."""
    steps = list(steps)
    mark = "\x1e"
    script = "".join(f"{one.block.text}printf '{mark}'\n" for one in steps)
    printed = type_in(script, folder, variables)
    for one, told in zip(steps, printed.split(mark), strict=False):
        assert missing(one.shown, told) == [], f"{one.block.text}prints\n{told}"
    return printed
