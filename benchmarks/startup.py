"""How long a command takes to be there: `python -m benchmarks.startup [ROUNDS] [--beside FOLDER]`.

Beside a bare interpreter of the same Python, in turns, so that whatever else the machine does concerns
all alike. `status` asks a modelled sandbox with the reference project on loopback, and the time until its
first request arrives there is told apart: what follows waits for answers. FOLDER is where
`npm install heroku firebase-tools` was run; their `--version` is measured, too.

Set LIFTLOCK_PROGRAM to measure an installed liftlock, as `make bench` does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.ratios import Comparison, note
from liftlock.demo.materials import create_workspace
from liftlock.demo.sandbox_process import Sandbox, environment, start_sandbox
from liftlock.demo.workspace import prepare


@dataclass(slots=True)
class Contender:
    """A command line, and the seconds of every run."""

    name: str
    argv: Sequence[str]
    seconds: list[float] = field(default_factory=list)

    def run(self, folder: Path, variables: Mapping[str, str]) -> tuple[float, float]:
        """Run it once; when it began and ended, in seconds since the epoch."""
        began = time.time()
        subprocess.run(self.argv, cwd=folder, env=variables, capture_output=True, check=True)
        return began, time.time()


def main(rounds: int, beside: Path | None) -> None:
    """Measure and print."""
    program = os.environ.get("LIFTLOCK_PROGRAM") or str(Path(sys.executable).parent / "liftlock")
    python = str(Path(program).parent / "python")
    contenders = [
        Contender("python -c pass", [python, "-c", "pass"]),
        Contender("liftlock --version", [program, "--version"]),
        Contender("liftlock status", [program, "status"]),
        *_others(beside),
    ]
    own = Contender("liftlock status, until its first request", ())
    with tempfile.TemporaryDirectory(prefix="liftlock-bench-") as name:
        workspace = create_workspace(Path(name))
        with start_sandbox(Path(name) / "sandbox", modelled=True) as sandbox:
            prepare(sandbox, workspace)
            variables = {**environment(sandbox), "PATH": os.environ["PATH"], "HOME": name}
            asked = 0
            for turn in range(rounds + 1):  # the first one warms up, and does not count
                for each in contenders:
                    sandbox.request("DELETE", "/_sandbox/requests")
                    began, ended = each.run(workspace.services.folder, variables)
                    if turn:
                        each.seconds.append(ended - began)
                    if turn and each.argv[-1] == "status":
                        first, asked = _asked(sandbox)
                        own.seconds.append(first - began)
    print(f"Medians of {rounds} runs; `status` sent {asked} requests.\n")
    bare = statistics.median(contenders[0].seconds)
    print("| command | seconds | fastest | beside bare Python |\n| --- | --- | --- | --- |")
    for each in [*contenders[:3], own, *contenders[3:]]:
        median = statistics.median(each.seconds)
        print(f"| `{each.name}` | {median:.3f} | {min(each.seconds):.3f} | {median / bare:.1f} times |")
    version = statistics.median(contenders[1].seconds)
    for each in (contenders[0], *contenders[3:]):
        note(Comparison("`liftlock --version`", version, f"`{each.name}`", statistics.median(each.seconds)))
    first_s = statistics.median(own.seconds)
    note(Comparison("`liftlock status`, until its first request", first_s, f"`{contenders[0].name}`", bare))


def _asked(sandbox: Sandbox) -> tuple[float, int]:
    """When the first request of a command came in, and how many there were."""
    log = [one for one in sandbox.request("GET", "/_sandbox/requests") if one["vendor"] != "admin"]
    times = [datetime.fromisoformat(one["at"]).timestamp() for one in log]
    return min(times), len(times)


def _others(folder: Path | None) -> list[Contender]:
    if folder is None:
        return []
    binaries = folder / "node_modules" / ".bin"
    found = [name for name in ("heroku", "firebase") if (binaries / name).exists()]
    return [Contender(f"{name} --version", [str(binaries / name), "--version"]) for name in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=15)
    parser.add_argument("--beside", type=Path, help="where heroku and firebase-tools were installed by npm")
    given = parser.parse_args()
    main(given.rounds, given.beside)
