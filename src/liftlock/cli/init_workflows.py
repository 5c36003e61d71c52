"""`liftlock init --github-actions`: the workflows of a project that has its file."""

from __future__ import annotations

from pathlib import Path

from liftlock.cli.output import Output
from liftlock.cli.session import Common
from liftlock.commands.workflow_files import Written, chosen, write_workflows
from liftlock.commands.workflows import Choices, expected
from liftlock.config import FILE_NAME, find
from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.source_code import LocalGit


async def add_workflows(common: Common, action: str, output: Output) -> dict[str, object]:
    """Write them into the checkout at hand, and say what GitHub has to be given for them to run.

    With `--json` nothing is said: the document does.
    """
    project = common.project()
    git = LocalGit(Path.cwd())
    root = await git.top()
    choices = chosen(root, branch=await git.main_branch(), action=action, config=_config(common, root))
    written = write_workflows(project, root, choices)
    if not common.json:
        for one in written:
            _tell(one, output)
        _tell_expected(project, choices, output)
    return {"files": [_document(one) for one in written], "expects": expected(project, choices)}


def _config(common: Common, root: Path) -> str:
    """What the workflows have to say with --config: nothing where the file is at the checkout's root."""
    if common.config.startswith("github:"):
        return common.config
    path = (Path(common.config) if common.config else find(Path.cwd())).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UsageError(
            f"{path} is not in this checkout, so a job would not have it.",
            hint="Name the repository that it is in: --config github:OWNER/REPO",
        )
    relative = path.relative_to(root.resolve()).as_posix()
    return "" if relative == FILE_NAME else relative


def _document(one: Written) -> dict[str, object]:
    return {"path": str(one.path), "state": one.state, "differs": list(one.differs)}


def _tell(one: Written, output: Output) -> None:
    match one.state:
        case "written":
            output.line(f"Wrote {one.path}", style="green")
        case "unchanged":
            output.line(f"{one.path} says already what would be written.")
        case _:
            output.line(f"{one.path} is there already, and was left as it is. It differs:", style="yellow")
            for line in one.differs:
                output.line(f"  {line}")


def _tell_expected(project: Project, choices: Choices, output: Output) -> None:
    output.line()
    output.line("They expect, at GitHub:", style="bold")
    for what, names in expected(project, choices).items():
        output.line(f"  {what:<14}{', '.join(names)}", hang=16)
    if not (choices.tests or choices.tests_workflow):
        output.line(f"  {'tests':<14}written by you: the job `tests` fails until it is told how", hang=16)
    output.line(
        "Every permission of the token, and what else to set up: docs/how-to/use-in-github-actions.md"
    )
