"""How long a promotion takes beside its own critical path: `python -m benchmarks.promotion`.

The sandbox runs modelled, as a process of its own; each of its answers comes L later, a release
takes 500 ms and a backup 1 s. The whole process is timed, from the start of the interpreter.

The critical path is computed from the plan that `liftlock plan --json` prints:
(6 + 2 d) L + B + d (R + settle), with d the number of apps on the longest `after` path.

With `--limits` GitHub's limits are on, as they are on github.com: then a promotion of 64 systems
also waits for them, and the floor that they set is shown beside it: 80 writes a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.promotion.worlds import BACKUP_S, RELEASE_S, World, many, reference
from liftlock.demo.sandbox_process import Sandbox, start_sandbox

LATENCIES_MS = (50, 100, 200)
WRITES_PER_MINUTE = 80
Make = Callable[[Sandbox, Path, Path], World]


@dataclass(frozen=True, slots=True)
class Measured:
    world: str
    latency_ms: int
    seconds: float
    chain_s: float
    requests: int
    apps: int
    writes: int
    """To GitHub: what its limit of content-creating requests counts."""

    def row(self) -> str:
        ratio = self.seconds / self.chain_s
        per_app = self.requests / self.apps
        return (
            f"{self.world:<22} {self.latency_ms:>6} ms {self.seconds:>8.2f} s {self.chain_s:>8.2f} s"
            f" {ratio:>6.2f} {self.requests:>9} {per_app:>8.1f}"
        )


def floor_s(writes: int) -> float:
    """The least time, in seconds, in which GitHub lets so many writes pass: 80 in any minute."""
    return 60.0 * max(0, -(-writes // WRITES_PER_MINUTE) - 1)


def chain_s(plan: dict[str, Any], latency_s: float) -> float:
    """The longest chain that a promotion cannot do without, in seconds."""
    steps = {str(s["id"]): s for s in plan["steps"]}
    depths: dict[str, int] = {}

    def depth(step_id: str) -> int:
        if step_id not in depths:
            step = steps[step_id]
            below = max((depth(need) for need in step["needs"]), default=0)
            depths[step_id] = below + (step["kind"] == "release")
        return depths[step_id]

    d = max((depth(step_id) for step_id in steps), default=0)
    backup_s = BACKUP_S if plan["backups"] else 0.0
    return (6 + 2 * d) * latency_s + backup_s + d * RELEASE_S


def measure(
    make: Make, name: str, latency_ms: int, runs: int, program: Path, *, limits: bool = False
) -> Measured:
    """The median of `runs` promotions, each in a new world."""
    seconds, requests, chain, apps, writes = [], 0, 0.0, 0, 0
    for _ in range(runs):
        folder = Path(tempfile.mkdtemp(prefix="liftlock-bench-"))
        try:
            with start_sandbox(folder / "sandbox", modelled=True) as sandbox:
                world = make(sandbox, folder / "work", program)
                plan = json.loads(world.liftlock("plan", "dev", "staging", "--json"))
                _slow_down(sandbox, latency_ms / 1000, limits=limits)
                sandbox.request("DELETE", "/_sandbox/requests")
                began = time.perf_counter()
                world.liftlock("promote", "dev", "staging", "--yes")
                seconds.append(time.perf_counter() - began)
                sandbox.request("DELETE", "/_sandbox/faults")
                log = sandbox.request("GET", "/_sandbox/requests")
                requests = len(log)
                writes = sum(r["vendor"] == "github" and r["method"] not in {"GET", "HEAD"} for r in log)
                changed = [a for a in plan["apps"].values() if a["action"] == "release"]
                chain, apps = chain_s(plan, latency_ms / 1000), len(changed)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Measured(name, latency_ms, statistics.median(seconds), chain, requests, apps, writes)


def _slow_down(sandbox: Sandbox, latency_s: float, *, limits: bool) -> None:
    settings = {"release_s": RELEASE_S, "boot_s": 0.0, "backup_s": BACKUP_S, "limits": limits}
    sandbox.request("PUT", "/_sandbox/settings", settings)
    sandbox.request("POST", "/_sandbox/faults", {"action": "delay", "delay_s": latency_s})


def main() -> int:
    parser = argparse.ArgumentParser(description="Promotions beside their critical path.")
    parser.add_argument("--runs", type=int, default=3, help="promotions per row; the median is shown")
    parser.add_argument("--latency", type=int, nargs="*", default=list(LATENCIES_MS), help="in milliseconds")
    parser.add_argument("--program", type=Path, default=Path(sys.executable).parent / "liftlock")
    parser.add_argument("--limits", action="store_true", help="also one with GitHub's limits on: minutes")
    parser.add_argument("--only", default="", help="a part of the world's name")
    options = parser.parse_args()
    worlds = {
        "reference": reference,
        "64 systems, sqlite": lambda s, f, p: many(s, f, p, 64, "sqlite:///ledger.db"),
        "64 systems, github": lambda s, f, p: many(s, f, p, 64, "github"),
    }
    print(
        f"{'world':<22} {'answer':>9} {'measured':>10} {'chain':>10} {'ratio':>6} {'requests':>9} {'per app':>8}"
    )
    for name, make in worlds.items():
        if options.only in name:
            for latency_ms in options.latency:
                print(measure(make, name, latency_ms, options.runs, options.program).row(), flush=True)
    if options.limits:
        name = "64, GitHub's limits on"
        row = measure(worlds["64 systems, github"], name, 50, 1, options.program, limits=True)
        print(row.row())
        print(f"{row.writes} writes to GitHub: its limit sets a floor of {floor_s(row.writes):.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
