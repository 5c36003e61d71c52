"""What every command shares: the project, its adapters, signals, and errors into exit codes."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Annotated

import anyio
from cyclopts import Parameter

from liftlock.cli.output import Output
from liftlock.errors import Interrupted, LiftlockError, UsageError
from liftlock.model import Project
from liftlock.ports import Adapters

if TYPE_CHECKING:
    from liftlock.engine.execute import StopRequest


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """Options that every command takes."""

    config: Annotated[
        str,
        Parameter(
            help="The project's file, or github:OWNER/REPO@REF for another repository's "
            "[default: liftlock.toml, here or above]."
        ),
    ] = ""
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document on standard output.")] = False
    no_color: Annotated[bool, Parameter(negative="", help="No colours; NO_COLOR does the same.")] = False
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative="", help="Say more.")] = False
    debug: Annotated[
        bool,
        Parameter(
            negative="", help="Write a report without secrets into a file, for whoever mends a defect."
        ),
    ] = False

    server: Annotated[
        str,
        Parameter(
            help="Ask this liftlock server, with the token of LIFTLOCK_TOKEN, and need no other credentials; "
            "LIFTLOCK_SERVER does the same."
        ),
    ] = ""

    def server_url(self) -> str:
        """The server that a command is to go through; "" for this machine."""
        return self.server or os.environ.get("LIFTLOCK_SERVER", "")

    def output(self, *, events: bool = False) -> Output:
        return Output(as_json=self.json, events=events, color=not self.no_color, verbose=self.verbose)

    def project(self) -> Project:
        """The project of `--config`, a file or `github:OWNER/REPO@REF`, or of the nearest liftlock.toml at or above this folder."""
        from liftlock.config import find, load

        if self.server:
            raise UsageError(
                "This command works on this machine alone: it cannot go through a server.",
                hint="Leave --server out, and set the vendors' tokens; or use status, plan, promote, rollback, "
                "resume, history, diff, approve, backups list and lease.",
            )
        if self.config.startswith("github:"):
            from liftlock.cli.remote import fetched

            return fetched(self.config)
        path = Path(self.config) if self.config else find(Path.cwd())
        return load(path, os.environ)


@asynccontextmanager
async def opened(project: Project, output: Output) -> AsyncIterator[Adapters]:
    """The project's adapters; a wait for a vendor's limit is shown while it lasts."""
    from liftlock.engine.events import Event, Waiting, as_document, as_long_as_heard
    from liftlock.wiring import open_project

    def show(event: Event) -> None:
        if not isinstance(event, Waiting):
            return
        if output.events:
            output.event(as_document(event, datetime.now(UTC)))
        output.line(f"waiting {event.seconds:.0f} s for {event.vendor}: {event.why}", style="yellow")

    # It is called from inside vendors' calls: a closed pipe must not cut a switch off.
    tell = as_long_as_heard(show)

    def waiting(vendor: str, seconds: float, why: str) -> None:
        tell(Waiting(vendor, seconds, why))

    async with open_project(project, on_wait=waiting) as adapters:
        yield adapters


MEANWHILE_S = 0.1
"""By then the first requests are on their way: an import beside them would hold them back."""


def import_meanwhile(module: str) -> None:
    """Import in a thread what is needed only once the first answers are in: that wait is idle."""
    waiting = Timer(MEANWHILE_S, import_module, (module,))
    waiting.daemon = True
    waiting.start()


async def until_signalled(
    work: Callable[[StopRequest], Awaitable[int]], output: Output, environment: str = "ENV"
) -> int:
    """Run `work`, which heeds a `StopRequest`; returns its exit code.

    The first SIGINT or SIGTERM asks it to stop: nothing new is started, what is in flight is
    settled and undone. The second abandons it as it stands, and says so.
    """
    from liftlock.engine.execute import StopRequest  # looking needs no engine, and is to be quick

    stop = StopRequest()
    received: list[signal.Signals] = []
    code = 1
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for number in signals:
                    received.append(signal.Signals(number))
                    if len(received) > 1:
                        tasks.cancel_scope.cancel()
                        return
                    output.line(
                        f"{received[0].name}: starting nothing new, and putting back what was switched."
                        " Once more to leave it as it stands.",
                        style="yellow",
                        hang=0,
                    )
                    stop.ask(f"interrupted by {received[0].name}")

        tasks.start_soon(listen)
        try:
            code = await work(stop)
        except LiftlockError as error:
            if not received or error.exit_code != LiftlockError.exit_code:
                raise
            raise Interrupted(error.message, signal_number=received[0], hint=error.hint) from error
        tasks.cancel_scope.cancel()
    if len(received) > 1:
        raise Interrupted(
            f"Left as it stands after a second {received[1].name}: the promotion's record stays open.",
            signal_number=received[0],
            hint=f"See what runs with: liftlock status. Then: liftlock resume {environment} --wait 12m,"
            " which waits until the lease that it left behind has run out.",
        )
    if received and code in {0, 1} and stop.asked:
        return code if code == 0 else 128 + received[0]
    return code
