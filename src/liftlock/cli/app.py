"""The program: its commands, each in a module that is imported when it is called, and what errors become."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnknownCommandError

from liftlock import __version__
from liftlock.cli.examples import EXAMPLES, epilogue
from liftlock.cli.output import Output, print_error
from liftlock.errors import LiftlockError, UsageError, ungrouped
from liftlock.naming import nearest

app = App(
    name="liftlock",
    help="Build once, and lift the same bytes from environment to environment.",
    version=f"liftlock {__version__}",
    help_format="plaintext",
    end_of_options_delimiter="--",
    default_parameter=Parameter(show_default=False, negative_iterable=()),
)
lease = App(
    name="lease",
    help="See who holds an environment, or take it away from a holder that is gone.",
    help_format="plaintext",
)

ledger = App(
    name="ledger",
    help="Copy a ledger into a database, or bring its tables to this liftlock's layout.",
    help_format="plaintext",
)

GROUPS = frozenset({"backups", "serve"})

for module, names in {
    "completion": ("completion",),
    "init": ("init",),
    "doctor": ("doctor",),
    "look": ("status",),
    "history": ("history",),
    "diff": ("diff",),
    "promote": ("plan", "promote"),
    "rollback": ("rollback",),
    "deploy": ("deploy",),
    "push": ("build", "push"),
    "resume": ("resume",),
    "record": ("record", "approve"),
    "sandbox": ("sandbox", "demo"),
    "serve": ("serve",),
    "worker": ("worker",),
    "backups": ("backups",),
}.items():
    for name in names:
        # A group is an App, and says itself what its commands are.
        more = {"help_epilogue": epilogue(name)} if name in EXAMPLES and name not in GROUPS else {}
        app.command(f"liftlock.cli.{module}:{name}", name=name, **more)
app.command(lease)
lease.command("liftlock.cli.lease:show", name="show", help_epilogue=epilogue("lease show"))
lease.command("liftlock.cli.lease:break_", name="break", help_epilogue=epilogue("lease break"))
app.command(ledger)
ledger.command("liftlock.cli.ledger:copy", name="copy", help_epilogue=epilogue("ledger copy"))
ledger.command("liftlock.cli.ledger:migrate", name="migrate", help_epilogue=epilogue("ledger migrate"))


def know(group: App) -> None:
    """Import all commands of a group: its help shows what each of them says of itself."""
    for name in list(group):
        if not name.startswith("-"):
            group[name]


def tell(error: LiftlockError, commands: Sequence[str], *, color: bool, as_json: bool) -> None:
    """Say an error to whoever reads: in a job of GitHub Actions, at the run's page as well.

    `as_json` prints it as the document of `--json`.
    """
    if as_json:
        from liftlock.documents.error import error_document

        Output().document({"exit_code": error.exit_code, "error": error_document(error)})
    if os.environ.get("GITHUB_ACTIONS") != "true":
        print_error(error, color=color)
    else:
        from liftlock.cli.runner import annotate, unheeded

        with unheeded():
            print_error(error, color=color)
        annotate("\n".join(filter(None, (error.message, error.hint))), " ".join(["liftlock", *commands[:3]]))


def run(arguments: Sequence[str]) -> int:
    """Parse and run; every error that is ours becomes a message and its exit code.

    With `--debug`, a report is written however it ends.
    """
    failures: list[BaseException] = []
    code = _run(arguments, failures)
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in before:
        from liftlock.cli.debug import write_report

        path = write_report(arguments, failures[0] if failures else None)
        sys.stderr.write(f"A report without secrets is in {path}. Look at it before you pass it on.\n")
    return code


def _run(arguments: Sequence[str], failures: list[BaseException]) -> int:
    """As `run`, without a report; an error is put into `failures`."""
    color = "--no-color" not in arguments
    commands = [word for word in arguments if not word.startswith("-")]
    if not commands:
        know(app)
    elif commands in (["lease"], ["ledger"]):
        know(app[commands[0]])
    if {"--help", "-h"} & {*arguments}:
        from liftlock.cli.help import prepare

        names, found, _ = app.parse_commands(commands)
        prepare(found[-1], names)
    written = Output.documents

    def said(error: LiftlockError) -> None:
        tell(error, commands, color=color, as_json="--json" in arguments and Output.documents == written)

    try:
        with ungrouped():
            code = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except LiftlockError as error:
        failures.append(error)
        said(error)
        return error.exit_code
    except CycloptsError as error:
        failures.append(error)
        command = " ".join(("liftlock", *(error.command_chain or ())))
        what, hint = str(error), f"See: {command} --help"
        if isinstance(error, UnknownCommandError) and error.unused_tokens and error.app is not None:
            word = error.unused_tokens[0]
            what = f"There is no command {word!r}" + (f" of {command}." if error.command_chain else ".")
            near = nearest(word, [name for name in error.app if not name.startswith("-")])
            hint = f"Did you mean {near}? {hint}" if near else hint
        if isinstance(error, MissingArgumentError) and error.argument is not None and error.keyword is None:
            what = f"{command} needs {error.argument.name}."
        said(UsageError(what, hint=hint))
        return UsageError.exit_code
    except BrokenPipeError:
        # Nobody reads any more; what Python would flush at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - a defect: told as one, its traceback goes into the report
        failures.append(error)
        said(
            LiftlockError(
                f"liftlock itself failed: {type(error).__name__}: {error}",
                hint="That is a defect: please report it. The same command with --debug writes what a report needs.",
            )
        )
        return 1
