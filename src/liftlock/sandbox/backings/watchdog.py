"""Nothing is left when the sandbox is killed: a small process that ends what the sandbox started.

It reads from a pipe which process groups and containers live. When the pipe closes, because the
sandbox ended in whatever way (SIGKILL included), it ends those that are still listed, then itself.
That covers the processes' own children and works on every POSIX system, which PR_SET_PDEATHSIG
does not. (A process that is started in the very moment of a SIGKILL, between its start and the line
that tells of it, escapes.) The script is run by `python -I -S`: it imports nothing of ours.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import anyio
from anyio.abc import Process

_SCRIPT = """
import os, signal, socket, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
live = {}
for line in sys.stdin:
    sign, kind, name, how = line.rstrip("\\n").split(" ", 3)
    if sign == "+":
        live[kind, name] = how
    else:
        live.pop((kind, name), None)
for (kind, name), how in live.items():
    try:
        if kind == "group":
            os.killpg(int(name), int(how))
        else:
            link = socket.socket(socket.AF_UNIX)
            link.connect(how)
            link.sendall(f"DELETE /containers/{name}?force=1&v=1 HTTP/1.1\\r\\nHost: docker\\r\\nConnection: close\\r\\n\\r\\n".encode())
            link.recv(100)
    except OSError:
        pass
"""


class Watchdog:
    """Told of everything that must not outlive the sandbox."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def watch_group(self, group: int, signal_number: int) -> None:
        """From now on process group `group` gets that signal when the sandbox is gone."""
        await self._tell(f"+ group {group} {signal_number}")

    async def watch_container(self, name: str, socket_path: str) -> None:
        """From now on the container is removed when the sandbox is gone."""
        await self._tell(f"+ container {name} {socket_path}")

    async def forget(self, kind: str, name: int | str) -> None:
        """It has ended; its number may soon be somebody else's."""
        if self._process is not None:
            await self._tell(f"- {kind} {name} -")

    async def stop(self) -> None:
        """End the watchdog, once nothing is listed any more."""
        if self._process is not None:
            process, self._process = self._process, None
            await process.aclose()  # closes its pipe, and waits for it

    async def _tell(self, line: str) -> None:
        if self._process is None:
            # Out of our process group, so that Ctrl-C in a terminal does not end it first.
            self._process = await anyio.open_process(
                [sys.executable, "-I", "-S", "-u", "-c", _SCRIPT],
                stdout=None,
                stderr=None,
                start_new_session=True,
            )
        stdin = self._process.stdin
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            if stdin is not None:
                await stdin.send(line.encode() + b"\n")
