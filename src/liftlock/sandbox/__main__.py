"""`python -m liftlock.sandbox`: the embedded cloud as a program of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from liftlock.sandbox.clock import WallClock
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; prints one line of JSON when it is ready."""
    options = _parser().parse_args(arguments)
    # Clients of a served cloud live in real time, even when what it does is modelled.
    cloud = Cloud(options.state, modelled=options.modelled, clock=WallClock())

    def ready(port: int) -> None:
        line = json.dumps({"port": port, "pid": os.getpid()})
        if options.ready_file:
            partial = options.ready_file.with_suffix(".part")
            partial.write_text(line + "\n")
            partial.replace(options.ready_file)
        print(line, flush=True)

    try:
        serve(cloud, port=options.port, on_ready=ready)
    except OSError as error:
        print(f"The sandbox cannot listen on 127.0.0.1:{options.port}: {error}.", file=sys.stderr)
        return 1
    finally:
        cloud.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liftlock.sandbox", description="GitHub, Heroku and Firebase on loopback."
    )
    parser.add_argument("--state", type=Path, help="directory that keeps the state (default: memory)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--modelled", action="store_true", help="start no processes and no PostgreSQL")
    parser.add_argument("--ready-file", type=Path, help="file to write the ready line to")
    return parser


if __name__ == "__main__":
    sys.exit(main())
