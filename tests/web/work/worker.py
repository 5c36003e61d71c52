"""A worker of its own process that is quick to notice others: `python -m tests.web.work.worker CONFIG`."""

import os
import sys
from pathlib import Path

import anyio

from liftlock.config import load
from liftlock.web.work.process import run
from liftlock.web.work.worker import Pace


async def main() -> int:
    project = load(Path(sys.argv[1]), os.environ)
    pace = Pace(beat_s=0.3, silent_s=4.0, forget_s=0.5)
    return await run(project, lambda text: print(text, flush=True), os.environ, pace=pace)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
