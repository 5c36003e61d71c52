"""Draws the pictures of the terminal in docs/pictures, from real runs on a sandbox of their own.

Each command is liftlock itself in a terminal (a pty), with its colours; what stands there at the
end becomes an SVG. Addresses are made the same each time; times and ages are those of the run.

Usage: python scripts/pictures.py [FOLDER]
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from liftlock.demo import materials
from liftlock.demo.sandbox_process import environment, path_of_this_python, start_sandbox
from liftlock.demo.workspace import prepare, publish

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
COLUMNS, ROWS = 114, 60
ELSEWHERE = "--config ../services/liftlock.toml"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
THEME = TerminalTheme(
    (22, 27, 34),
    (201, 209, 217),
    [
        *((72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (177, 186, 196)),
    ],
)
"""A dark terminal's colours; each is at least 4.5 to 1 against its background."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="liftlock-pictures-") as temporary:
        workspace = materials.create_workspace(Path(temporary))
        with start_sandbox(Path(temporary) / "sandbox") as sandbox:
            prepare(sandbox, workspace)
            variables = environment(sandbox, Path(temporary) / "preferences")

            def run(line: str, repository: str = "services") -> str:
                return screen(in_terminal(line, Path(temporary) / repository, variables))

            for repository in ("services", "explore", "admin"):
                run(f"deploy dev --yes {'' if repository == 'services' else ELSEWHERE}", repository)
            run("promote dev staging --yes")
            run("promote staging production --yes")
            materials.add_priority(workspace)
            publish(sandbox, workspace)
            for merged, number in ((workspace.services, 128), (workspace.explore, 64)):
                pull = {"number": number, "merge_commit": merged.head()}
                sandbox.request("PUT", f"/_sandbox/github/{merged.name}/pulls", [pull])
            run("deploy dev --yes")
            run(f"deploy dev --yes {ELSEWHERE}", "explore")
            for name, line in (
                ("diff", "diff dev production"),
                ("plan", "plan dev production"),
                ("promote", "promote dev production --yes"),
                ("status", "status"),
                ("history", "history {newest}"),
            ):
                if "{newest}" in line:
                    entries = json.loads(run("history production --limit 1 --json"))
                    line = line.format(newest=entries[0]["id"])
                shown = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", run(line))
                picture = draw(name, f"liftlock {line}", shown)
                (folder / f"{name}.svg").write_text(picture, encoding="utf-8")


def in_terminal(line: str, folder: Path, variables: Mapping[str, str]) -> str:
    """What a command writes to a terminal. Raises `SystemExit` when it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {**os.environ, **variables, "PATH": path_of_this_python(), "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "COLUMNS"):
        environ.pop(name, None)
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "liftlock", *shlex.split(line)],
        cwd=folder,
        env={**environ, "COLORTERM": ""},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = bytearray()
    while chunk := _read(ours):
        written += chunk
    os.close(ours)
    text = written.decode()
    if process.wait():
        raise SystemExit(f"liftlock {line} ended with {process.returncode}:\n{text}")
    return text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def screen(written: str) -> str:
    """What stands on the terminal at the end, with its colours and without its links; only what rich
    sends is understood."""
    written = re.sub(r"\x1b\]8;[^\x1b]*\x1b\\", "", written)
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[?\d;]*[A-Za-z]|\r|\n)", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b["):
            row = max(row - int(part[2:-1] or 1), 0)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.endswith("m") or not part.startswith(("\x1b", "\r")):
            lines[row] += part
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def draw(name: str, command: str, shown: str) -> str:
    """The SVG of a command and its output."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
    for line in shown.splitlines():
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="", theme=THEME, unique_id=name)
    # No fonts from elsewhere: a picture in a page may not load any.
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: (?:Fira Code|arial)[^;]*;", f"font-family: {FONT};", svg)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
