"""Many seeds in several processes, and what they came to."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.simulation.simulate import simulate

SLOW_S = 60
"""A story takes a fraction of a second of a processor's time; one that takes this much never ends."""


class _TooLong(BaseException):
    """Not an `Exception`: nothing in a story may take it for a failure of its own."""


def _too_long(*_: object) -> None:
    raise _TooLong(f"it does not end within {SLOW_S} s of work")


def spare_the_collector() -> None:
    """Looking for cycles among all that was imported, every few hundred objects, takes a quarter of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def play(seed: int) -> tuple[int, list[str], str, Counter[str], Counter[str]]:
    """One seed's outcome, in values that travel between processes."""
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, SLOW_S, 5)
    try:
        story = simulate(seed)
    except (Exception, _TooLong, BaseExceptionGroup):  # noqa: BLE001 - a defect is an outcome too
        return seed, ["a defect was raised"], traceback.format_exc(), Counter(), Counter()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return seed, story.broken, story.told() if story.broken else "", story.counts, story.hits


Outcome = tuple[int, list[str], str, Counter[str], Counter[str]]


@contextmanager
def _outcomes(seeds: range, jobs: int) -> Iterator[Iterable[Outcome]]:
    """Of every seed, as they come; those that nobody waits for any more are not played to their end."""
    if jobs == 1:
        yield map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, spare_the_collector) as pool:
        yield pool.imap_unordered(play, seeds, chunksize=5)


def many(seeds: range, jobs: int, *, go_on: bool) -> int:
    """Play seeds in several processes, and tell of the first that broke something."""
    began = time.monotonic()
    counts: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    failed = []
    done = 0
    with _outcomes(seeds, jobs) as outcomes:
        for seed, broken, told, counted, hit in outcomes:
            done += 1
            counts.update(counted)
            hits.update(hit)
            if broken:
                failed.append(seed)
                print(
                    f"{told}\n\nagain: make simulate SEED={seed}\n" if not go_on else f"{seed}: {broken[0]}",
                    flush=True,
                )
                if not go_on:
                    break
    elapsed = time.monotonic() - began
    print(f"{done} seeds in {elapsed:.0f} s ({done / elapsed:.1f} a second), {len(failed)} broke a promise")
    print("  " + ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())))
    print(f"  faults hit: {sum(hits.values()):,}: " + ", ".join(f"{k} {v:,}" for k, v in hits.most_common()))
    return 1 if failed else 0
