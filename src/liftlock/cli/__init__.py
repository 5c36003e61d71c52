"""The command line: arguments and rendering, no decisions."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run liftlock with `argv` (the process's own by default) and return its exit code.

    `--version` is answered before anything heavy is imported.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from liftlock import __version__

        sys.stdout.write(f"liftlock {__version__}\n")
        return 0
    # Importing makes many objects and no garbage: looking for some takes a tenth of the time.
    gc.disable()
    from liftlock.cli.app import run

    gc.freeze()
    gc.set_threshold(10_000)  # a command imports more when it is called, and is soon over
    gc.enable()
    return run(arguments)
