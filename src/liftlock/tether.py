"""Runs a program that ends when whoever started it ends: `python -I -S tether.py PIPE PROGRAM ARGUMENT…`.

Run as a file, so that it starts in a few milliseconds. PIPE is the number of an open pipe, whose
other end its starter holds and never writes to: a starter that was killed, even by kill -9, lets go
of it. Then everything in our process group is asked to end, and killed after a while.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

GRACE_S = 5.0
"""Between the request to end and the kill. `commands.run.QUIET_S` outlasts it."""
NOT_STARTED = 127
"""As a shell has it."""


def main(argv: list[str]) -> int:
    """Run it; its exit code is ours, and so is the signal that ended it."""
    held, *program = int(argv[0]), *argv[1:]
    os.set_inheritable(held, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ours in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ours, lambda *_: None)  # they are for the program; we end when it has
    child = os.fork()
    if child == 0:
        _become(program)
    while not (status := _ended(child)):
        readable, _, _ = select.select([held, woken], [], [])
        if woken in readable:
            os.read(woken, 64)
        if held in readable:
            _end_all(child)
    _, how = status
    code = os.waitstatus_to_exitcode(how)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _become(argv: list[str]) -> None:
    """The program itself, as if its starter had run it."""
    for changed in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and exec keeps that
        signal.signal(changed, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 (an argument list, no shell)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _ended(child: int) -> tuple[int, int] | None:
    pid, how = os.waitpid(child, os.WNOHANG)
    return (pid, how) if pid else None


def _end_all(child: int) -> None:
    """Nobody waits for us any more: end the whole group, ourselves among it."""
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and not _ended(child):
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
