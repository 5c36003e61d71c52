"""The threads that pack layers: as many as there are processors, the largest layer first.

Compressors let go of Python's lock, so threads use every processor. The largest layer decides how
long a push takes, whichever image has it: it must not be the last to begin.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class Packers:
    """Runs what is given to it, the largest first. The threads are begun with the first work."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._numbers = count()
        self._lock = Lock()

    def submit(self, size: int, work: Callable[[], T]) -> Future[T]:
        """Have `work` done, which handles `size` bytes; returns where its result will be."""
        result: Future[T] = Future()
        with self._lock:
            heapq.heappush(self._waiting, (-size, next(self._numbers), result, work))
            if self._threads is None:
                self._threads = ThreadPoolExecutor(os.cpu_count(), "liftlock-packer")
        self._threads.submit(self._run_largest)
        return result

    def _run_largest(self) -> None:
        with self._lock:
            _, _, result, work = heapq.heappop(self._waiting)
        try:
            done = work()
        except BaseException as error:  # noqa: BLE001 (a thread's edge: raised where the result is read)
            result.set_exception(error)
        else:
            result.set_result(done)
