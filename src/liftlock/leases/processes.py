"""Whether a process of this machine has ended: then it no longer changes anything, and its lease is free.

Only what proves it counts. A number alone does not, since the system gives it out again: the boot, the
namespace that the number belongs to, and the moment at which the process began have to agree as well.
Source: proc(5), `/proc/sys/kernel/random/boot_id`, `/proc/PID/stat` (fields 3 and 22), pid_namespaces(7).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_WRITTEN = re.compile(r"(\S+) (\S+) ([1-9][0-9]{0,8}) ([0-9]+)")
_ENDED = frozenset("ZXx")
"""States of a process that runs no more: a zombie only waits for its parent to notice."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told from every other one that this machine ever ran or will run."""

    boot: str
    namespace: str
    pid: int
    began: str
    """In ticks of the kernel since the boot."""

    def __str__(self) -> str:
        return f"{self.boot} {self.namespace} {self.pid} {self.began}"


def this_process(proc: Path = Path("/proc")) -> str:
    """What others can look for us by; "" where the system has no such names (other than Linux)."""
    return str(_itself(proc) or "")


def is_gone(process: str, proc: Path = Path("/proc")) -> bool:
    """Whether the process that `this_process` named has surely ended.

    False when it lives, and when it cannot be told: it is of another machine, of a container with
    processes of its own, or of before this boot.
    """
    ours, named = _itself(proc), _parsed(process)
    if ours is None or named is None or (named.boot, named.namespace) != (ours.boot, ours.namespace):
        return False
    try:
        os.kill(named.pid, 0)  # sends nothing; it sees processes that /proc may hide (hidepid)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    state, began = _stat(proc, str(named.pid))
    return state in _ENDED or (began != "" and began != named.began)


def _itself(proc: Path) -> Process | None:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str((proc / "self/ns/pid").readlink())
    except OSError:
        return None
    _, began = _stat(proc, "self")
    return Process(boot, namespace, os.getpid(), began) if boot and began else None


def _stat(proc: Path, pid: str) -> tuple[str, str]:
    """The state and the beginning of a process; ("", "") when they cannot be seen."""
    try:
        # A name in parentheses comes second, and may hold anything, parentheses too.
        fields = (proc / pid / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""


def _parsed(process: str) -> Process | None:
    found = _WRITTEN.fullmatch(process)
    return Process(found[1], found[2], int(found[3]), found[4]) if found else None
