"""Measure the dashboard: `python -m benchmarks.dashboard [--records 1000 10000 100000] [--seconds 8] [--requests 3600] [--postgresql]`.

Each page is asked for by `wrk` (Debian's package), beside a bare Starlette page of the same bytes on the same
server, in turns. What the first look at a page costs, which nobody else has paid for, is told apart.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2

from benchmarks.dashboard.latency import latency
from benchmarks.dashboard.processor import processor
from benchmarks.dashboard.world import copy, fill, ledger_at

PAGES = ("/", "/history", "/history?environment=production", "/numbers")
CONNECTIONS = 16
REPORT = """
done = function(summary, latency, requests)
  io.write(string.format("liftlock %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(95), summary.errors.status + summary.errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    per_s: float
    p95_ms: float
    errors: int


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(*arguments: str) -> Iterator[tuple[str, int]]:
    """A server as a process: its address and its process id."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.dashboard.server", str(port), *arguments])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx2.get(url, timeout=30)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        yield url, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def wrk(url: str, seconds: int, script: Path) -> Load:
    """So many connections asking for one page, for so many seconds."""
    said = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"liftlock (\d+) (\d+) (\d+) (\d+)", said)
    if found is None:
        raise SystemExit(said)
    requests, duration_us, p95_us, errors = map(int, found.groups())
    return Load(requests / duration_us * 1e6, p95_us / 1000, errors)


def resident_mib(pid: int) -> float:
    """What a process has in memory, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def measure(name: str, ledger: str, seconds: int, folder: Path) -> None:
    script = folder / "report.lua"
    script.write_text(REPORT)
    with served(ledger) as (url, pid):
        begin = resident_mib(pid)
        for page in PAGES:
            began = time.perf_counter()
            answer = httpx2.get(url + page, timeout=60)
            first_ms = (time.perf_counter() - began) * 1000
            while "loading" in answer.text:
                time.sleep(0.1)
                answer = httpx2.get(url + page, timeout=60)
            whole_ms = (time.perf_counter() - began) * 1000
            file = folder / "page.html"
            file.write_text(answer.text, "utf-8")
            ours = wrk(url + page, seconds, script)
            with served("--bare", str(file)) as (bare_url, _):
                bare = wrk(bare_url, seconds, script)
            print(
                f"| {name} | `{page}` | {len(answer.content) // 1000} kB | {first_ms:.0f} / {whole_ms:.0f} ms"
                f" | {ours.per_s:,.0f} | {ours.p95_ms:.0f} ms | {bare.per_s:,.0f} | {bare.p95_ms:.0f} ms"
                f" | {ours.per_s / bare.per_s:.2f} |" + (f" {ours.errors} errors" if ours.errors else ""),
                flush=True,
            )
        print(
            f"| {name} | memory | {begin:.0f} MiB at the start, {resident_mib(pid):.0f} MiB after it | | | | | | |"
        )


def soak(ledger: str, requests: int) -> None:
    """So many requests for one page after another, and the memory looked at now and then."""
    with served(ledger) as (url, pid), httpx2.Client(base_url=url, timeout=60) as client:
        others = ("/apps/service-07", "/environments/qa", "/plan/dev/qa")
        for asked in range(requests):
            pages = (*PAGES, *others, f"/history?app=service-{asked % 64:02d}")
            client.get(pages[asked % len(pages)])
            if asked % max(requests // 6, 1) == 0:
                print(f"| {asked} | {resident_mib(pid):.0f} MiB |", flush=True)
        print(f"| {requests} | {resident_mib(pid):.0f} MiB |", flush=True)


@asynccontextmanager
async def filled(records: list[int], folder: Path, *, postgresql: bool) -> AsyncIterator[dict[str, str]]:
    """Ledgers with so many records, by their titles."""
    found = {f"SQLite, {many:,} records": str(folder / f"{many}.db") for many in records}
    for many, ledger in zip(records, found.values(), strict=True):
        await fill(ledger_at(ledger), many)
    async with AsyncExitStack() as stack:
        if postgresql:
            from liftlock.databases.scratch import embedded_server

            for many, ledger in zip(records, tuple(found.values()), strict=True):
                address = await stack.enter_async_context(embedded_server(os.environ))
                place = (
                    f"postgresql://{address.user}@/{address.database}?host={address.host}&port={address.port}"
                )
                await copy(ledger_at(ledger), ledger_at(place))
                found[f"PostgreSQL, {many:,} records"] = place
        yield found


async def main(
    records: list[int], seconds: int, requests: int, ready: list[str], *, postgresql: bool
) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="liftlock-bench-") as name:
        folder = Path(name)
        async with filled([] if ready else records, folder, postgresql=postgresql) as made:
            ledgers = made | dict(one.partition("=")[::2] for one in ready)
            print(
                "| ledger | page | size | first look: answered / whole | ours/s | p95 | bare/s | p95 | ratio |"
            )
            for title, ledger in ledgers.items():
                await anyio.to_thread.run_sync(measure, title, ledger, seconds, folder)
            print("\n| ledger | page | size | processor | bare |")
            for title, ledger in ledgers.items():
                await processor(title, ledger, folder)
            if requests and ledgers:
                print("\n| requests | memory |")
                await anyio.to_thread.run_sync(soak, list(ledgers.values())[-1], requests)
    print()
    await anyio.to_thread.run_sync(latency)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument(
        "--ready", nargs="*", default=[], metavar="TITLE=LEDGER", help="ledgers that are filled already"
    )
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=3600, help="one after another, for the memory")
    parser.add_argument("--postgresql", action="store_true")
    chosen = parser.parse_args()
    anyio.run(
        lambda: main(
            chosen.records, chosen.seconds, chosen.requests, chosen.ready, postgresql=chosen.postgresql
        )
    )
