"""`liftlock completion`: what makes TAB work in a shell."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from liftlock.cli.options import Flag
from liftlock.errors import UsageError


def completion(shell: Literal["bash", "zsh", "fish"], /, *, install: Annotated[bool, Flag] = False) -> int:
    """Print what makes TAB complete commands, options, environments, apps and gates in a shell.

    Promotions' ids are offered where the ledger is a file. Nothing is asked over the network.

    Parameters
    ----------
    shell:
        Whose completion.
    install:
        Write it where the shell looks for completions, instead of printing it.
    """
    from liftlock.cli.app import app

    if not install:
        sys.stdout.write(app.generate_completion(shell=shell).rstrip() + "\n")
        return 0
    try:
        path = app.install_completion(shell=shell, add_to_startup=shell != "fish")
    except OSError as error:
        raise UsageError(
            f"The completion could not be written: {error.filename or ''} {error.strerror}.",
            hint=f"Print it, and keep it where your shell reads it: liftlock completion {shell}",
        ) from error
    sys.stdout.write(f"Wrote {path}. Open a new shell, and TAB completes liftlock.\n")
    return 0
