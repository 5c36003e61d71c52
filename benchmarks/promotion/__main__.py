"""How long a promotion takes beside its own critical path, and beside a script: `python -m benchmarks.promotion`.

The sandbox runs modelled, as a process of its own; each of its answers comes L later, a release
takes 500 ms and a backup 1 s. The whole process is timed, from the start of the interpreter.

The critical path is computed from the plan that `liftlock plan --json` prints:
(6 + 2 d) L + B + d (R + settle), with d the number of apps on the longest `after` path.
The script is `script.sh`: curl and jq, one request after another, once in a world of its own.

With `--limits` GitHub's limits are on, as they are on github.com: then a promotion of 64 systems
also waits for them, and the floor that they set is shown beside it: 80 writes a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.promotion import peer
from benchmarks.promotion.worlds import BACKUP_S, RELEASE_S, World, many, reference
from benchmarks.ratios import Comparison, note
from liftlock.demo.sandbox_process import Sandbox, start_sandbox

LATENCIES_MS = (50, 100, 200)
WRITES_PER_MINUTE = 80
Make = Callable[[Sandbox, Path, Path], World]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way to promote took."""

    seconds: float
    requests: int
    sent: int
    """Bytes of the bodies, in both directions."""
    writes: int
    """To GitHub: what its limit of content-creating requests counts."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A promotion by liftlock, in the shortest time that its plan allows, and by the script."""

    world: str
    latency_ms: int
    chain_s: float
    ours: Cost
    script: Cost | None

    def row(self) -> str:
        ours, script = self.ours, self.script
        times = f"{script.seconds / ours.seconds:.1f} x" if script else "-"
        theirs = (
            (f"{script.seconds:.2f} s", f"{script.requests}", f"{script.sent / 1e3:.0f}")
            if script
            else ("-",) * 3
        )
        return (
            f"{self.world:<22} {self.latency_ms:>6} ms {ours.seconds:>8.2f} s {self.chain_s:>8.2f} s"
            f" {ours.seconds / self.chain_s:>6.2f} {theirs[0]:>9} {times:>8}"
            f" {ours.requests:>6}/{theirs[1]:<5} {ours.sent / 1e3:>6.0f}/{theirs[2]:<6}"
        )

    def note(self) -> None:
        """For the table of all benchmarks: beside the script, and beside the shortest time that there can be."""
        what = f"promotion, {self.world}, {self.latency_ms} ms"
        ours, script = self.ours, self.script
        note(Comparison(what, ours.seconds, "its critical path", self.chain_s))
        if script:
            pairs = (ours.requests, script.requests, ours.sent, script.sent)
            note(Comparison(what, ours.seconds, "curl and jq", script.seconds, *pairs))


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
    make: Make,
    name: str,
    latency_ms: int,
    runs: int,
    program: Path,
    *,
    beside_script: bool = True,
    limits: bool = False,
) -> Measured:
    """The median of `runs` promotions, each in a new world; with the script in one more."""
    costs, chain = [], 0.0
    for _ in range(runs):
        with _world(make, program) as world:
            plan = json.loads(world.liftlock("plan", "dev", "staging", "--json"))
            chain = chain_s(plan, latency_ms / 1000)
            _slow_down(world.sandbox, latency_ms / 1000, limits=limits)
            costs.append(_cost(world, lambda: world.liftlock("promote", "dev", "staging", "--yes")))
    script = None
    if beside_script:
        with _world(make, program) as world:
            systems = peer.prepare(world, world.config.parent)
            _slow_down(world.sandbox, latency_ms / 1000, limits=limits)
            script = _cost(world, lambda: peer.promote(world, systems))
    costs.sort(key=lambda cost: cost.seconds)
    return Measured(name, latency_ms, chain, costs[len(costs) // 2], script)


@contextmanager
def _world(make: Make, program: Path) -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="liftlock-bench-"))
    try:
        with start_sandbox(folder / "sandbox", modelled=True) as sandbox:
            yield make(sandbox, folder / "work", program)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cost(world: World, promote: Callable[[], object]) -> Cost:
    world.sandbox.request("DELETE", "/_sandbox/requests")
    began = time.perf_counter()
    promote()
    seconds = time.perf_counter() - began
    world.sandbox.request("DELETE", "/_sandbox/faults")
    log = [one for one in world.sandbox.request("GET", "/_sandbox/requests") if one["vendor"] != "admin"]
    writes = sum(one["vendor"] == "github" and one["method"] not in {"GET", "HEAD"} for one in log)
    return Cost(seconds, len(log), sum(one["received"] + one["sent"] for one in log), writes)


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
    if lacking := peer.missing():
        print(f"without the script: {', '.join(lacking)} is not on this machine")
    worlds: dict[str, Make] = {
        "reference": reference,
        "4 systems, github": lambda s, f, p: many(s, f, p, 4, "github"),
        "16 systems, github": lambda s, f, p: many(s, f, p, 16, "github"),
        "64 systems, sqlite": lambda s, f, p: many(s, f, p, 64, "sqlite:///ledger.db"),
        "64 systems, github": lambda s, f, p: many(s, f, p, 64, "github"),
    }
    print(
        f"{'world':<22} {'answer':>9} {'liftlock':>10} {'chain':>10} {'ratio':>6} {'script':>9} {'faster':>8}"
        f" {'requests':>12} {'kB':>13}"
    )
    for name, make in worlds.items():
        if options.only in name:
            for latency_ms in options.latency:
                measured = measure(
                    make,
                    name,
                    latency_ms,
                    options.runs,
                    options.program,
                    beside_script=not lacking and "sqlite" not in name,
                )
                print(measured.row(), flush=True)
                measured.note()
    if options.limits:
        name = "64, GitHub's limits on"
        row = measure(
            worlds["64 systems, github"], name, 50, 1, options.program, beside_script=False, limits=True
        )
        print(row.row())
        print(
            f"{row.ours.writes} writes to GitHub: its limit sets a floor of {floor_s(row.ours.writes):.0f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
