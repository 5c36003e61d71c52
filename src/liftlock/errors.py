"""Every error that liftlock raises on purpose, and the exit code that each branch ends with.

The branches are split by what the reader does about it:

    LiftlockError                     1   failed; the environment is as it was before
    ├── UsageError                    2   mend the command line
    │   └── ConfigurationError        2   mend liftlock.toml (all its problems at once)
    ├── Refused                       3   a gate refused, or a saved plan no longer holds
    ├── Busy                          4   another promotion holds the environment, or stands open in it
    ├── Drifted                       5   running differs from recorded (``status --check``)
    ├── NeedsPerson                   6   neither all-old nor all-new
    ├── Interrupted             130/143   a signal ended it
    ├── ArtifactMissing               1   an image or a site version is not where it has to be
    ├── BackupFailed                  1
    ├── LeaseLost                     1   the right to change the environment is gone, or cannot be shown to last
    ├── ReleaseFailed                 1   the platform failed the switch (a release phase, a command)
    ├── NotHealthy                    1   it was switched, and does not stay up
    └── VendorError                   1   an HTTP conversation with a vendor went wrong
        ├── Unreachable                   nothing was sent, or surely nothing was applied: may be retried
        ├── AnswerLost                    sent, and nobody knows whether it was applied: look before repeating
        ├── VendorRefusal                 4xx: the vendor understood and said no
        │   ├── Unauthorized              401, 403
        │   ├── NotFound                  404, 410
        │   └── Conflict                  409, 422
        ├── RateLimited                   429, or 403 with a spent budget
        ├── VendorFailure                 5xx
        └── BadAnswer                     an answer that is not what the vendor documents
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class LiftlockError(Exception):
    """What happened, where and why (`message`), and what to do next (`hint`)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def headline(self) -> str:
        """The message's first line; what follows it are details, such as a log's last lines."""
        return self.message.partition("\n")[0]


class UsageError(LiftlockError):
    """The command line asks for something that does not exist or is not allowed."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file: where it stands and what is wrong with it."""

    key: str
    message: str
    line: int | None = None
    hint: str = ""


class ConfigurationError(UsageError):
    """The configuration is wrong; `problems` holds every mistake that was found, in file order."""

    def __init__(self, path: str, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.path = path
        self.problems = tuple(problems)
        lines = []
        for problem in self.problems:
            place = f"{path}:{problem.line}" if problem.line else path
            key = f" {problem.key}:" if problem.key else ""
            more = f" {problem.hint}" if problem.hint else ""
            lines.append(f"{place}:{key} {problem.message}{more}")
        super().__init__("\n".join(lines), hint=hint)


class Refused(LiftlockError):
    """A gate refused, or a saved plan no longer holds. Nothing was changed."""

    exit_code = 3


class Busy(LiftlockError):
    """Somebody else holds the environment, or a promotion stands open in it. Nothing was changed."""

    exit_code = 4


class Drifted(LiftlockError):
    """What runs differs from what is recorded."""

    exit_code = 5


class NeedsPerson(LiftlockError):
    """The environment is neither all-old nor all-new; the message says which app is what."""

    exit_code = 6


class Interrupted(LiftlockError):
    """A signal ended the run; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, signal_number: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number


class ArtifactMissing(LiftlockError):
    """An artifact was looked for where it has to be, and is not there."""


class LeaseLost(LiftlockError):
    """The lease ran out, was broken, or could not be renewed in time. Nothing new was begun."""


class BackupFailed(LiftlockError):
    """A backup ended without success, or cannot be told to have succeeded."""


class ReleaseFailed(LiftlockError):
    """The platform did not make the switch: its own release phase failed, or a command did."""


class NotHealthy(LiftlockError):
    """The switch was made, and the processes do not come up or do not stay up."""


class VendorError(LiftlockError):
    """A conversation with a vendor went wrong.

    `retryable` says whether the same request may be sent again without harm and with hope.
    """

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        vendor: str,
        method: str = "",
        address: str = "",
        status: int | None = None,
        code: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.vendor = vendor
        self.method = method
        self.address = address
        self.status = status
        self.code = code


class Unreachable(VendorError):
    """No connection, or an answer that proves that nothing was applied."""

    retryable = True


class AnswerLost(VendorError):
    """The request may have been applied; only a look at the vendor can tell."""


class VendorRefusal(VendorError):
    """The vendor understood the request and said no (4xx)."""


class Unauthorized(VendorRefusal):
    """The credential is missing, wrong, or may not do this (401, 403)."""


class NotFound(VendorRefusal):
    """There is no such thing, or this credential may not see it (404, 410)."""


class Conflict(VendorRefusal):
    """The thing's state does not allow it (409, 422)."""


class RateLimited(VendorError):
    """The vendor's limit is spent, and waiting for it was given up."""

    retryable = True


class VendorFailure(VendorError):
    """The vendor failed (5xx)."""

    retryable = True


class BadAnswer(VendorError):
    """The vendor's answer is not what it documents: not JSON, a field missing, a wrong type."""


@contextmanager
def ungrouped() -> Iterator[None]:
    """Turn a group of errors, as concurrent work raises it, into the first of ours.

    That nobody reads our output any more is nobody's defect, and comes out of a group as well. The others stay reachable as its cause. A group that holds anything that is not ours is a
    defect or a cancellation and passes as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split((LiftlockError, BrokenPipeError))
        if ours is None or others is not None:
            raise
        raise _first(ours) from group


@contextmanager
def ours(where: str) -> Iterator[None]:
    """Turn a defect, anything that is raised and is not ours, into an error of ours: what was
    switched has to go back all the same. Cancellation passes.
    """
    try:
        with ungrouped():
            yield
    except LiftlockError:
        raise
    except Exception as defect:
        raise LiftlockError(
            f"liftlock itself failed in {where}: {type(defect).__name__}: {defect}",
            hint="That is a defect: please report it, with what --events printed.",
        ) from defect


def _first(group: BaseExceptionGroup[Any]) -> LiftlockError | BrokenPipeError:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if not isinstance(first, (LiftlockError, BrokenPipeError)):
        raise TypeError(f"a group of our errors holds {first!r}")
    return first
