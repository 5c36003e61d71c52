"""A worker as a process: works until it is told to stop, and says so."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio

from liftlock.model import Project
from liftlock.ports import Adapters
from liftlock.web.store import address_of, open_store
from liftlock.web.work.durable import DurableWork, open_work
from liftlock.web.work.perform import Open
from liftlock.web.work.worker import Pace, working
from liftlock.wiring import open_project


def opening(project: Project, environ: Mapping[str, str]) -> Open:
    """What opens the project's adapters for a person, the same in every process of a server.

    Where nobody signs in, whoever asks is the machine's user, with the machine's credentials: nobody acts for them.
    """

    def opened(account: str) -> AbstractAsyncContextManager[Adapters]:
        return open_project(project, environ=environ, acting_for=account if project.serve.has_sign_in else "")

    return opened


@asynccontextmanager
async def serving(
    project: Project, open_: Open, address: str, *, works_here: bool
) -> AsyncIterator[DurableWork]:
    """The work of a process that serves pages; with `works_here` it does some of it as well."""
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(open_store(address))
        work = await opened.enter_async_context(open_work(store))
        if works_here:
            await opened.enter_async_context(working(project, open_, address))
        yield work


async def run(
    project: Project, say: Callable[[str], None], environ: Mapping[str, str], *, pace: Pace | None = None
) -> int:
    """Work until SIGINT or SIGTERM; what was begun is performed to its end first.

    A second signal leaves at once, as a kill would: another worker resumes what was begun.
    """
    open_, address = opening(project, environ), address_of(project, environ)
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with working(project, open_, address, pace=pace or Pace()) as worker:
                say(f"{worker.name} works for {project.name}")
                async for _ in signals:
                    break
                say("Nothing more is taken, and what was begun goes on to its end. Once more to leave it.")
                tasks.start_soon(_leave, signals, say)
            tasks.cancel_scope.cancel()
    return 0


async def _leave(signals: AsyncIterator[signal.Signals], say: Callable[[str], None]) -> None:
    async for number in signals:
        say("Left as it stands: another worker resumes it.")
        os._exit(128 + number)  # threads of the engine would wait for what they perform
