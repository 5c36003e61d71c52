"""`python -m tests.simulation --seeds 2000` or `--seed 123`: play many seeds, or tell one story."""

from __future__ import annotations

import argparse
import os
import sys

from tests.simulation.many import many
from tests.simulation.simulate import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--all", action="store_true", help="go on after a broken promise")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets are walked through in an order of their own otherwise
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    if given.seed is not None:
        story = simulate(given.seed)
        print(story.told(400))
        return 1 if story.broken else 0
    return many(range(given.first, given.first + given.seeds), given.jobs, go_on=given.all)


if __name__ == "__main__":
    sys.exit(main())
