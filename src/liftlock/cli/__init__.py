"""The command line: arguments and rendering, no decisions."""

from __future__ import annotations

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
    from liftlock.cli.app import run

    return run(arguments)
