"""Runs other people's programs: argument lists, never a shell; a time limit; secrets out of their output."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
from anyio.abc import Process

from liftlock import tether
from liftlock.http import redact
from liftlock.model import EMPTY
from liftlock.tether import GRACE_S, NOT_STARTED

TIME_LIMIT_S = 600.0
KEPT_LINES = 200
PASSED_ON = ("PATH", "HOME", "LANG")
"""The variables that every program needs."""
_SHOWN_LINES = 20
_LONGEST_LINE = 2000
_LONGEST_REST = 256 * 1024
_TETHER = str(Path(tether.__file__))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: its exit code (None: out of time) and its last lines, secrets taken out."""

    exit_code: int | None
    lines: tuple[str, ...]

    @property
    def tail(self) -> str:
        return "".join(f"\n    {line}" for line in self.lines[-_SHOWN_LINES:])


async def run(
    argv: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] = EMPTY,
    limit_s: float = TIME_LIMIT_S,
    secrets: Sequence[str] = (),
    given: str = "",
) -> Outcome:
    """Run a program to its end; one that runs out of time, or is no longer waited for, is killed
    with everything that it started, also when it is this process that was killed (see `tether`).
    A program that cannot be started ends with exit code 127. `given` is what it reads.
    """
    hidden = [line for secret in secrets for line in (secret, *secret.splitlines())]
    output = _Output(hidden)
    with _tether() as pipe:
        try:
            process = await anyio.open_process(
                [sys.executable, "-I", "-S", _TETHER, str(pipe), *argv],
                cwd=folder,
                env=variables,
                stdin=PIPE if given else DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                start_new_session=True,
                pass_fds=[pipe],
            )
        except OSError as error:
            return Outcome(NOT_STARTED, (f"{argv[0]}: {error.strerror or error}",))
        return await _to_its_end(process, output, limit_s, given)


async def _to_its_end(process: Process, output: _Output, limit_s: float, given: str) -> Outcome:
    async with process:
        try:
            with anyio.move_on_after(limit_s) as limit:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(output.read, process)
                    if process.stdin is not None:
                        with suppress(anyio.BrokenResourceError):  # it did not want to know
                            await process.stdin.send(given.encode())
                        await process.stdin.aclose()
                    await process.wait()
                    tasks.cancel_scope.deadline = anyio.current_time() + GRACE_S
        finally:
            with anyio.CancelScope(shield=True):
                await _end_group(process)
    exit_code = None if limit.cancelled_caught else process.returncode
    return Outcome(exit_code, output.lines())


@contextmanager
def _tether() -> Iterator[int]:
    """A pipe's end to give to `tether`: the other end is open for as long as this process holds on."""
    given, held = os.pipe()
    try:
        yield given
    finally:
        os.close(held)
        os.close(given)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a program wrote on standard output; an exit code of None: out of time. It may hold secrets."""

    exit_code: int | None
    text: str


async def ask(argv: Sequence[str], text: str, variables: Mapping[str, str], limit_s: float) -> Reply:
    """Run a program that reads `text` and replies, as helpers that keep secrets do: nothing is in its arguments.

    Ended as `run` ends programs; one that cannot be started ends with exit code 127.
    """
    try:
        process = await anyio.open_process(
            argv, env=variables, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError:
        return Reply(NOT_STARTED, "")
    said = b""
    async with process:
        try:
            with anyio.move_on_after(limit_s) as limit:
                if process.stdin is not None:
                    with suppress(anyio.BrokenResourceError):  # it did not want to know
                        await process.stdin.send(text.encode())
                    await process.stdin.aclose()
                if process.stdout is not None:
                    async for piece in process.stdout:
                        said += piece
                        if len(said) > _LONGEST_REST:
                            break
                await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await _end_group(process)
    return Reply(None if limit.cancelled_caught else process.returncode, said.decode(errors="replace"))


async def _end_group(process: Process) -> None:
    """Ask the process and all that it started to end, and kill what has not after some seconds."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with anyio.move_on_after(GRACE_S):
            await process.wait()
    _signal(process, signal.SIGKILL)  # also what outlived it, and would hold its output open
    await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Output:
    """The last lines of a program's output, whole lines only, so that no secret is cut in two."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = b""

    async def read(self, process: Process) -> None:
        if process.stdout is None:
            return
        async for chunk in process.stdout:
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > _LONGEST_REST:
                whole, self._rest = [*whole, self._rest], b""
            self._lines.extend(self._clean(line) for line in whole)

    def lines(self) -> tuple[str, ...]:
        if self._rest:
            self._lines.append(self._clean(self._rest))
            self._rest = b""
        return tuple(line for line in self._lines if line)

    def _clean(self, line: bytes) -> str:
        return redact(line.decode(errors="replace").rstrip(), self._secrets)[:_LONGEST_LINE]
