"""What planning and running cost by themselves: `python -m benchmarks.engine`.

In-memory adapters that answer at once: what is left is observing, planning, the graph and the
events. Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import anyio

SIZES = (125, 250, 500, 1000)


async def promote(count: int) -> tuple[int, float]:
    """Plan and run one promotion of `count` apps; the number of steps, and seconds of CPU time."""
    from tests.doubles import (
        FakeClock,
        FakeDatabases,
        FakePlatform,
        NoSourceCode,
        app_of,
        deployment,
        project_of,
        release,
    )

    from liftlock.commands.promote import plan_promotion
    from liftlock.commands.run import Terms, run_under_lease
    from liftlock.engine.execute import StopRequest
    from liftlock.leases.memory import MemoryLeases
    from liftlock.ledgers.memory import Memory
    from liftlock.model import Known
    from liftlock.ports import Adapters

    names = [f"S{i:04}" for i in range(count)]
    # Every tenth app goes after the one before it; every other one is backed up.
    apps = [
        app_of(n, names[i - 1 : i] if i % 10 == 0 else (), backup=i % 2 == 0) for i, n in enumerate(names)
    ]
    project, platform, clock = project_of(*apps), FakePlatform(), FakeClock()
    ledger = Memory(clock)
    for number, name in enumerate(names):
        for environment, version in (("dev", "b"), ("staging", "a")):
            of = release(name, version)
            ledger.put(deployment(name, environment, of, number))
            platform.runs[name, environment] = Known(of.artifacts, marker="v1")
    adapters = Adapters(
        platforms={"fake": platform},
        ledger=ledger,
        databases={"fake": FakeDatabases(platform)},
        notifiers=[],
        source_code=NoSourceCode(),
        clock=clock,
        leases=MemoryLeases(clock),
    )
    events = 0

    def count_event(_: object) -> None:
        nonlocal events
        events += 1

    began = time.process_time()
    plan, result = await run_under_lease(
        project,
        adapters,
        "staging",
        lambda: plan_promotion(project, adapters, "dev", "staging"),
        Terms("benchmark"),
        show=lambda _: None,
        agree=None,
        emit=count_event,
        stop=StopRequest(),
    )
    spent = time.process_time() - began
    if result.exit_code != 0:
        raise SystemExit(f"the promotion ended with {result.ending}: {result.cause}")
    return len(plan.steps), spent


def main() -> int:
    parser = argparse.ArgumentParser(description="Planning and running without a vendor.")
    parser.add_argument("--one", type=int, help="run one size in this process")
    options = parser.parse_args()
    if options.one:
        steps, spent = anyio.run(promote, options.one)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        per_app_ms = 1000 * spent / options.one
        print(f"{options.one:>7} {steps:>7} {spent:>8.2f} s {per_app_ms:>8.2f} ms {peak_mib:>7.0f} MiB")
        return 0
    print(f"{'apps':>7} {'steps':>7} {'CPU':>10} {'per app':>11} {'peak':>11}")
    for size in SIZES:
        subprocess.run([sys.executable, "-m", "benchmarks.engine", "--one", str(size)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
