"""The workflows in a checkout: how it is tested is found out, and what is there is never overwritten."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from liftlock.commands.workflows import DEPLOY, FOLDER, PROMOTE, Choices, workflows
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project

_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._/-]+@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_CALLABLE = re.compile(r"^\s{0,4}(?:on:.*\b)?workflow_call\b", re.MULTILINE)

TESTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Makefile", r"^test\s*:", ("make test",)),
    ("package.json", r'"test"\s*:', ("npm ci", "npm test")),
    ("gradlew", "", ("./gradlew test",)),
    ("mvnw", "", ("./mvnw --batch-mode test",)),
    ("go.mod", "", ("go test ./...",)),
    ("Cargo.toml", "", ("cargo test --locked",)),
)
"""How a checkout is tested: a file, what has to stand in it, and the commands."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one file. `differs` holds the lines of a comparison when it was there already."""

    path: Path
    state: str
    """"written", "unchanged" or "differs": then it was left as it is."""
    differs: tuple[str, ...] = ()


def write_workflows(project: Project, root: Path, choices: Choices | None = None) -> tuple[Written, ...]:
    """Write the workflows into the checkout at `root`. A file that is there is never overwritten."""
    return tuple(_write(root / FOLDER / name, text) for name, text in workflows(project, choices).items())


def chosen(root: Path, *, branch: str = "main", action: str = "", config: str = "") -> Choices:
    """The choices for the checkout at `root`: how it is tested is found out by looking. Raises `UsageError`."""
    if action and not _ACTION.fullmatch(action):
        raise UsageError(
            f"--action {action} does not name an action by its commit.",
            hint="Write OWNER/REPO@COMMIT with the commit's whole sha: a tag can be moved.",
        )
    if not _BRANCH.fullmatch(branch):
        raise UsageError(
            f"{branch!r} cannot be written into a workflow as a branch.", hint="For example: main"
        )
    called = _callable_workflow(root / FOLDER)
    return Choices(branch, action, config, () if called else _test_commands(root), called)


def _callable_workflow(folder: Path) -> str:
    """The first workflow in `folder` that others can call and that its name says to test; "" without one."""
    for path in sorted(folder.glob("*.y*ml")):
        is_ours = path.name in {DEPLOY, PROMOTE}
        if not is_ours and re.match(r"(ci|test|check)", path.name) and _CALLABLE.search(_text(path)):
            return path.name
    return ""


def _test_commands(root: Path) -> tuple[str, ...]:
    for name, pattern, commands in TESTS:
        if (root / name).is_file() and re.search(pattern, _text(root / name), re.MULTILINE):
            return commands
    return ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LiftlockError(f"{path} cannot be read: {error.strerror}.") from error


def _write(path: Path, text: str) -> Written:
    if path.exists():
        there = _text(path)
        if there == text:
            return Written(path, "unchanged")
        lines = difflib.unified_diff(
            there.splitlines(), text.splitlines(), str(path), "what would be written", lineterm=""
        )
        return Written(path, "differs", tuple(lines))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LiftlockError(
            f"{path} could not be written: {error.strerror}.", hint="Check the folder, and run this again."
        ) from error
    return Written(path, "written")
