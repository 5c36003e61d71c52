"""Six images to three environments: liftlock beside what teams use today. `python -m benchmarks.push [ROUNDS]`.

In each round every contender gets an empty CNCF registry of its own behind a proxy that counts, the same
images, and pushes three times: into nothing, after one layer of one image changed, and without a change.
The others push one image after another, as pipelines do. What was written to disk before is written out
first, and another contender begins in each round. Shown are medians, and ratios of one run on one machine.

Set LIFTLOCK_PROGRAM to measure an installed liftlock, as `make bench` does: the tools that a developer's
environment holds besides cost time at every start.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registry.cncf import NoRegistry, cncf
from tests.registry.dockerd import NoEngine, dockerd

from benchmarks.push.pictures import IMAGES
from benchmarks.ratios import Comparison, note

ENVIRONMENTS = ("dev", "staging", "production")
STORIES = ("cold", "one layer changed", "no change")
Command = Callable[[str], list[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    bytes: int
    peak_mb: float
    """Of the process that pushes; of the engine for docker."""


class Wire:
    """The counting proxy before a registry."""

    def __init__(self, registry: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.push.wire", registry],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.host = f"127.0.0.1:{self._line()}"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def sent(self) -> int:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return int(self._line())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def peak_mb(command: Sequence[str], folder: Path, environ: dict[str, str]) -> float:
    """Run a command to its end; its largest resident size in MB."""
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {errors.decode(errors='replace')}")
    return usage.ru_maxrss / 1000


@contextmanager
def registry(folder: Path) -> Iterator[Wire]:
    folder.mkdir(parents=True)
    with cncf(folder) as host:
        wire = Wire(host)
        try:
            yield wire
        finally:
            wire.close()


def liftlock(folder: Path, host: str) -> tuple[Command, Path, dict[str, str]]:
    """`liftlock push` in a checkout, its registry in the place of Heroku's."""
    checkout = folder / "checkout"
    checkout.mkdir()
    apps = "".join(
        f'[apps.{app}]\nheroku = "{app}-{{env}}"\nprocesses.web = {{ archive = "images/{app}.tar" }}\n'
        for app in IMAGES
    )
    levels = '[environments.dev]\n[environments.staging]\nfrom = ["dev"]\n[environments.production]\nfrom = ["staging"]\n'
    text = f'[project]\nname = "observatory"\nrepository = "example/services"\n{levels}{apps}'
    (checkout / "liftlock.toml").write_text(text)
    (checkout / "images").symlink_to(folder.parent / "images")
    variables = ("GITHUB_API_URL", "HEROKU_API_URL", "HEROKU_DATA_URL", "HEROKU_REGISTRY_URL")
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull, **dict.fromkeys(variables, f"http://{host}"),
    }  # fmt: skip
    who = ["-c", "user.name=Observatory Team", "-c", "user.email=team@observatory.example"]
    for words in (
        ["init", "-q"], ["remote", "add", "origin", "git@github.com:example/services.git"],
        ["add", "liftlock.toml"], [*who, "commit", "-q", "-m", "Begin"],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=checkout, env=environ, check=True)
    program = os.environ.get("LIFTLOCK_PROGRAM")
    start = [program] if program else [sys.executable, "-m", "liftlock"]
    return lambda tag: [[*start, "push"]], checkout, environ


def skopeo(folder: Path, host: str) -> tuple[Command, Path, dict[str, str]]:
    def commands(tag: str) -> list[Sequence[str]]:
        return [
            ["skopeo", "copy", "--all", "--dest-tls-verify=false", f"docker-archive:images/{app}.tar",
             f"docker://{host}/{app}-{env}/web:{tag}"]
            for env in ENVIRONMENTS for app in IMAGES
        ]  # fmt: skip

    return commands, folder.parent, dict(os.environ)


def crane(folder: Path, host: str) -> tuple[Command, Path, dict[str, str]]:
    def commands(tag: str) -> list[Sequence[str]]:
        return [
            ["crane", "push", "--insecure", f"images/{app}.tar", f"{host}/{app}-{env}/web:{tag}"]
            for env in ENVIRONMENTS for app in IMAGES
        ]  # fmt: skip

    return commands, folder.parent, dict(os.environ)


def docker(folder: Path, host: str, engine: str) -> tuple[Command, Path, dict[str, str]]:
    def commands(tag: str) -> list[Sequence[str]]:
        words: list[Sequence[str]] = []
        for env in ENVIRONMENTS:
            for app in IMAGES:
                name = f"{host}/{app}-{env}/web:{tag}"
                words += [["docker", "tag", f"{app}:latest", name], ["docker", "push", "--quiet", name]]
        return words

    return commands, folder, {**os.environ, "DOCKER_HOST": engine}


def engine_peak_mb(engine: str) -> float:
    """The engine's largest resident size, from the kernel."""
    pid = Path(engine.removeprefix("unix://")).with_name("pid").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def load(images: Path, engine: str) -> None:
    for app in IMAGES:
        words = ["docker", "--host", engine, "load", "--quiet", "--input", str(images / f"{app}.tar")]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[tuple[str, int], list[Measured]] = {}
    with tempfile.TemporaryDirectory(prefix="liftlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        contenders = ["liftlock"]
        for program, contender in (("skopeo", "skopeo copy"), ("crane", "crane push")):
            if shutil.which(program):
                contenders.append(contender)
            else:
                print(f"without {contender}: {program} is not installed")
        engine = ""
        try:
            engine = stack.enter_context(dockerd())
            contenders.append("docker push")
        except NoEngine as reason:
            print(f"without docker push: {reason}")
        for number in range(rounds):
            turn = number % len(contenders)
            one_round(folder / f"{number}", [*contenders[turn:], *contenders[:turn]], engine, results)
            shutil.rmtree(folder / f"{number}")
    show(contenders, results, rounds)


def one_round(
    folder: Path, contenders: Sequence[str], engine: str, results: dict[tuple[str, int], list[Measured]]
) -> None:
    """All stories, by every contender into a registry of its own."""
    images = folder / "images"
    images.mkdir(parents=True)
    with ExitStack() as stack:
        made = {}
        for contender in contenders:
            place = folder / contender.replace(" ", "-")
            wire = stack.enter_context(registry(place))
            if contender == "docker push":
                made[contender] = (wire, *docker(place, wire.host, engine))
            else:
                make = {"liftlock": liftlock, "skopeo copy": skopeo, "crane push": crane}[contender]
                made[contender] = (wire, *make(place, wire.host))
        for number in range(len(STORIES)):
            changed = list(IMAGES) if number == 0 else ["odb"] if number == 1 else []
            if changed:  # in another process: the largest size of this one would count for its children
                words = ["benchmarks.push.pictures", str(images), " changed" if number else "", *changed]
                subprocess.run([sys.executable, "-m", *words], check=True)
                if engine:
                    load(images, engine)
            for contender, (wire, commands, place, environ) in made.items():
                os.sync()  # nobody pays for what was written before
                before, began = wire.sent(), time.monotonic()
                peaks = [peak_mb(command, place, environ) for command in commands(f"{number}")]
                seconds = time.monotonic() - began
                peak = engine_peak_mb(engine) if contender == "docker push" else max(peaks)
                measured = Measured(seconds, wire.sent() - before, peak)
                results.setdefault((contender, number), []).append(measured)


def show(contenders: Sequence[str], results: dict[tuple[str, int], list[Measured]], rounds: int) -> None:
    print(f"medians of {rounds} rounds; in brackets the least and the most; x is the time beside liftlock's")
    for number, story in enumerate(STORIES):
        ours = statistics.median(one.seconds for one in results["liftlock", number])
        print(f"\n{story}")
        for contender in contenders:
            measured = results[contender, number]
            seconds = sorted(one.seconds for one in measured)
            median = statistics.median(seconds)
            print(
                f"  {contender:<12} {median:7.2f} s [{seconds[0]:.2f} to {seconds[-1]:.2f}]  {median / ours:5.2f} x"
                f"  {statistics.median(one.bytes for one in measured) / 1e6:8.1f} MB sent"
                f"  {max(one.peak_mb for one in measured):6.0f} MB peak"
            )
            if contender != "liftlock":
                sent = [
                    statistics.median(one.bytes for one in results[who, number])
                    for who in ("liftlock", contender)
                ]
                note(Comparison(f"push, {story}", ours, f"`{contender}`", median, None, None, *sent))


if __name__ == "__main__":
    try:
        main()
    except NoRegistry as reason:
        print(f"nothing was measured: {reason}")
