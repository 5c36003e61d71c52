"""What the workers of ODB need: to do a little work now and then, until they are told to end.

An image holds one folder and nothing else, so this file stands in both workers' folders.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


def work(name: str, version: str, once: Callable[[Any], int], pause_s: float) -> None:
    """Call `once` with a connection every `pause_s` seconds, and at once while it finds work.

    `once` says how much it did. A database that is away, or a schema that is not there yet, is
    waited for: a worker that dies of it would be restarted into the same.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    where = os.environ.get("ENVIRONMENT", "local")
    print(f"{name} {version} works in {where} as {os.environ.get('DYNO', name + '.1')}", flush=True)
    # The web process of the same release starts now as well: let it have the machine first.
    ended.wait(min(2.0, pause_s))
    while not ended.is_set():
        done = _attempt(name, once)
        ended.wait(0.2 if done else pause_s)
    print(f"{name}: stopping", flush=True)


def _attempt(name: str, once: Callable[[Any], int]) -> int:
    import psycopg
    from psycopg.rows import dict_row

    try:
        with psycopg.connect(
            os.environ.get("DATABASE_URL", ""), connect_timeout=5, row_factory=dict_row
        ) as database:
            done = once(database)
    except (psycopg.Error, OSError) as error:
        print(f"{name}: will try again: {str(error).strip()}", flush=True)
        return 0
    if done:
        print(f"{name}: {done} done", flush=True)
    return done
