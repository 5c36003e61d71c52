"""`liftlock init`: a first liftlock.toml, from what there is already."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import anyio

from liftlock.cli.init_view import document, report
from liftlock.cli.init_workflows import add_workflows
from liftlock.cli.options import DEFAULTS, Flag
from liftlock.cli.session import Common
from liftlock.commands.adopt.infer import infer
from liftlock.commands.adopt.survey import survey
from liftlock.commands.adopt.text import text
from liftlock.config import FILE_NAME, parse
from liftlock.documents.error import error_document
from liftlock.errors import UsageError
from liftlock.wiring import open_accounts


async def init(
    *,
    name: str = "",
    repository: list[str] | None = None,
    print_: Annotated[bool, Flag] = False,
    github_actions: Annotated[bool, Flag] = False,
    action: str = "",
    common: Common = DEFAULTS,
) -> int:
    """Write a liftlock.toml from what there is: files, Heroku, Firebase, deployment records. Never overwrites.

    Parameters
    ----------
    name:
        The project's name [default: its repository's].
    repository:
        OWNER/NAME whose records are looked at; may be given several times, the project's own first
        [default: that of this checkout, and of others of its owner beside it].
    print_:
        Print the file instead of writing it.
    github_actions:
        Write the workflows that deploy and promote at GitHub, too; where the project has its file
        already, only them.
    action:
        With --github-actions: OWNER/REPO@COMMIT of liftlock's own action, to install it by
        [default: from the package index].
    """
    output = common.output()
    folder = Path.cwd()
    path = Path(common.config or FILE_NAME)
    if action and not github_actions:
        raise UsageError("--action goes with --github-actions.", hint="Add --github-actions.")
    if github_actions and (common.config.startswith("github:") or await anyio.Path(path).exists()):
        workflows = await add_workflows(common, action, output)
        if common.json:
            output.document(workflows)
        return 0
    async with open_accounts() as accounts:
        repositories = list(repository or ())
        if not repositories and not await accounts.repository(folder):
            repositories = [await asked_repository()]
        found = await survey(folder, accounts, repositories)
    draft = infer(found, name)
    written = text(draft)
    parse(written, path, os.environ)  # never a file that the other commands refuse
    exists = await anyio.Path(path).exists()
    told = document(path, draft, found, written, is_written=not (print_ or exists))
    if not common.json:
        report(output, draft, found, as_aside=print_ or exists)
        if print_ or exists:
            output.line(written.rstrip())
    if exists and not print_:
        refusal = UsageError(
            f"{path} is there already and was left as it is; above is what would have been written.",
            hint="Compare them, or name another file: liftlock init --config FILE",
        )
        if not common.json:
            raise refusal
        output.document(told | {"exit_code": refusal.exit_code, "error": error_document(refusal)})
        return refusal.exit_code
    if not print_:
        _write(path, written)
        if not common.json:
            output.line()
            output.line(f"Wrote {path}. Look at it, then: liftlock doctor, and liftlock status")
        if github_actions:
            told["workflows"] = await add_workflows(common, action, output)
    if common.json:
        output.document(told)
    return 0


async def asked_repository() -> str:
    """The repository, from whoever sits at the terminal. Raises `UsageError` when nobody does."""
    missing = UsageError(
        "This folder is no checkout with a remote, so nobody knows which GitHub repository records belong to.",
        hint="Go to the checkout, or name it: liftlock init --repository OWNER/NAME",
    )
    if not sys.stdin.isatty():
        raise missing
    sys.stderr.write("Which GitHub repository is this (OWNER/NAME)? ")
    sys.stderr.flush()
    await anyio.wait_readable(sys.stdin)
    answer = sys.stdin.readline().strip()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", answer):
        raise missing
    return answer


def _write(path: Path, content: str) -> None:
    """Make the file; one that came into being meanwhile is not touched."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"{path} could not be written: {error.strerror}.") from error
