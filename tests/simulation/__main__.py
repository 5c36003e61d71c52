"""`python -m tests.simulation --seeds 2000` or `--seed 123`: play many seeds, or tell one story."""

from __future__ import annotations

import argparse
import os
import sys

from tests.simulation.many import many, spare_the_collector
from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutant", choices=MUTANTS, help="play a broken engine until it is caught")
    parser.add_argument("--all", action="store_true", help="go on after a broken promise")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets are walked through in an order of their own otherwise
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    spare_the_collector()
    seeds = range(given.first, given.first + given.seeds)
    if given.mutant:
        return caught(given.mutant, seeds)
    if given.seed is not None:
        story = simulate(given.seed)
        print(story.told(400))
        return 1 if story.broken else 0
    return many(seeds, given.jobs, go_on=given.all)


def caught(name: str, seeds: range) -> int:
    """Play a broken engine until the promise that it breaks is seen to be broken."""
    promise, mutation = MUTANTS[name]
    with mutation():
        for seed in seeds:
            if any(broken.startswith(promise) for broken in simulate(seed).broken):
                print(f"{name} broke {promise} in seed {seed}")
                return 0
    print(f"{name} broke {promise} in none of {len(seeds)} seeds that anybody noticed")
    return 1


if __name__ == "__main__":
    sys.exit(main())
