"""A promotion of the reference project on a real swarm, beside a script: `python -m benchmarks.swarm`.

The same images are lifted from dev to staging by `liftlock promote` and by `script.sh`, which gives each service
its image with `docker service update`, one after the other. Both are timed as whole processes, in turn, on one
engine, while a client asks staging's SSO all the time; in between, staging is taken back to the same images.

Three of the project's apps change in each turn: SSO, RESOURCE and ODB, which are six of its seven services.
A migration runs with liftlock alone, and so do the backups, the checks and the records: the script has none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.postgresql import served
from tests.registry.cncf import NoRegistry
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.house import SERVICES, House, open_house

from benchmarks.ratios import Comparison, note
from liftlock.demo import materials

SCRIPT = Path(__file__).with_name("script.sh")
UPDATED = [name for name in SERVICES if name != "odb-migrate"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One promotion by one of the two."""

    seconds: float
    requests: int
    """How many requests the client sent meanwhile."""
    failed: int


def turn(house: House, promote: Callable[[], object]) -> Turn:
    """Time one promotion, while a client asks."""
    with house.load() as load:
        began = time.monotonic()
        promote()
        seconds = time.monotonic() - began
    return Turn(seconds, load.answers.total() + len(load.failures), len(load.failures))


def by_script(house: House) -> None:
    """Raises where a command of the script failed."""
    stacks = ("observatory-dev", "observatory-staging")
    subprocess.run(
        [SCRIPT, *stacks, *UPDATED],
        env=os.environ | {"DOCKER_HOST": house.engine.host},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measure(house: House, turns: int) -> tuple[list[Turn], list[Turn]]:
    """Ours and theirs, each so often, in turn."""
    house.deploy()
    house.run("promote dev staging --yes")
    house.front()
    ours, theirs = [], []
    for number in range(turns):
        materials.change_one_app(house.workspace, "SSO", f"2.7.{number + 1}")
        materials.change_one_app(house.workspace, "RESOURCE", f"1.1.{number + 1}")
        materials.change_one_app(house.workspace, "ODB", f"4.3.{number + 1}")
        house.deploy("services")
        new = house.images("dev")
        ours.append(turn(house, lambda: house.run("promote dev staging --yes")))
        expect(house, new)
        house.run("rollback staging --yes")
        theirs.append(turn(house, lambda: by_script(house)))
        expect(house, new | {"odb-migrate": house.images("staging")["odb-migrate"]})
        house.run("promote dev staging --yes --accept-drift")
    return ours, theirs


def expect(house: House, images: dict[str, str]) -> None:
    """Raises unless staging is to run these."""
    if house.images("staging") != images:
        raise SystemExit("staging does not run what was promoted: the figures would say nothing")


def shown(who: str, turns: list[Turn]) -> str:
    seconds = sorted(each.seconds for each in turns)
    return (
        f"{who:<30} {statistics.median(seconds):>7.1f} s  ({seconds[0]:.1f} to {seconds[-1]:.1f})"
        f"  {sum(each.failed for each in turns):>5} of {sum(each.requests for each in turns):,} requests failed"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swarm")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    program = Path(os.environ.get("LIFTLOCK_PROGRAM", Path(sys.executable).with_name("liftlock")))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="liftlock-bench-")))
        try:
            engine = stack.enter_context(own_engine())
            server = stack.enter_context(served())
            house = stack.enter_context(open_house(folder / "house", program, engine, server))
        except (NoEngine, NoRegistry) as reason:
            print(f"not measured: {reason}")
            return 0
        ours, theirs = measure(house, given.turns)
    print(shown("liftlock promote", ours))
    print(shown("docker service update, in turn", theirs))
    medians = [statistics.median(each.seconds for each in turns) for turns in (ours, theirs)]
    note(
        Comparison(
            "promotion on a swarm, 6 services", medians[0], "docker service update, in turn", medians[1]
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
