"""`liftlock sandbox` and `liftlock demo`: the embedded cloud, from the extra `liftlock[sandbox]`."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

from liftlock.cli.options import DEFAULTS, Flag
from liftlock.cli.session import Common


def sandbox(
    *,
    state: Path | None = None,
    port: int = 0,
    modelled: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Run the embedded cloud until stopped: GitHub, Heroku, its registry, Postgres, Firebase, Slack.

    Parameters
    ----------
    state:
        The folder that keeps its state [default: a temporary one].
    port:
        The loopback port [default: a free one].
    modelled:
        No processes and no PostgreSQL: only what the vendors would answer.
    """

    return run_sandbox(common, state, port, modelled=modelled)


def demo(
    *,
    keep: Annotated[bool, Flag] = False,
) -> int:
    """Show the main job on the embedded cloud: deploy, promote with backups, fail, roll back.

    Parameters
    ----------
    keep:
        Leave the cloud running at the end, and say how to use it and how to stop it.
    """

    return run_demo(keep=keep or os.environ.get("DEMO") == "keep")


def run_sandbox(common: Common, state: Path | None, port: int, *, modelled: bool) -> int:
    """Run the sandbox until it is stopped; print the variables that point a client at it.

    With `--config FILE`, the Heroku apps, sites and repositories that the project names are made.
    """
    from liftlock.demo.acts import missing_extra
    from liftlock.demo.sandbox_process import (
        SandboxFailed,
        client_environment,
        environment_of,
        shell_exports,
        start_sandbox,
    )
    from liftlock.demo.workspace import world

    if (absent := missing_extra()) is not None:
        raise absent
    output = common.output()
    project = common.project() if common.config else None
    with tempfile.TemporaryDirectory(prefix="liftlock-sandbox-") as temporary:
        try:
            sandbox = start_sandbox((state or Path(temporary)).resolve(), port, modelled)
        except SandboxFailed as error:
            if state is None:  # its log goes with the folder
                error.hint = "To keep its whole log: --state FOLDER"
            raise
        with sandbox:
            if project is not None:
                sandbox.request("PUT", "/_sandbox/world", world(project, sandbox.base))
            variables, clients = environment_of(sandbox, project), client_environment(sandbox)
            if common.json:
                output.document(
                    {
                        "base": sandbox.base,
                        "pid": sandbox.pid,
                        "environment": variables,
                        "clients": clients,
                    }
                )
            else:
                output.line(f"# The sandbox runs at {sandbox.base}/_sandbox/ until Ctrl-C.")
                output.line("# In another terminal:")
                output.line(shell_exports(variables).rstrip())
                output.line("# For the Heroku CLI and firebase-tools, in a terminal of their own:")
                output.line(shell_exports(clients).rstrip())
                if project is not None and project.ledger == "github":
                    output.line("# Its repositories have no commits yet, and a record needs one: see")
                    output.line(
                        '# docs/how-to/try-it-on-the-sandbox.md, or write ledger = "sqlite:///liftlock.db".'
                    )
            # Either signal must reach the `with` above, which stops the sandbox. A shell that starts
            # this in the background has SIGINT ignored, so SIGTERM cannot be passed on as one.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _stopped)
            try:
                if sandbox.process is not None:
                    sandbox.process.wait()
            except KeyboardInterrupt:
                output.line("# stopped")
                return 0
    output.line("# The sandbox has ended by itself.")
    return 1


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def run_demo(*, keep: bool) -> int:
    """Play the demo; 0 when every act went as it should."""
    from liftlock.demo import acts

    if (absent := acts.missing_extra()) is not None:
        raise absent
    return acts.run(keep=keep)
