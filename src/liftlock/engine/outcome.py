"""How a run ended, and how to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from liftlock.engine.way_back import Standing
from liftlock.errors import LiftlockError
from liftlock.model import Backup, Deployment, Intent


class Ending(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The environment is as it was before."""
    MIXED = "neither all-old nor all-new"
    UNRECORDED = "verified, but not all records were written"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended, app by app, with what a reader needs for the next step."""

    ending: Ending
    apps: Mapping[str, Standing]
    elapsed_s: float
    intent: Intent | None = None
    deployments: Mapping[str, Deployment] | None = None
    backups: tuple[Backup, ...] = ()
    cause: LiftlockError | None = None
    failed_step: str = ""
    interrupted: str = ""
    put_back: tuple[str, ...] = ()
    """The apps that were taken back to what ran before."""
    notes: tuple[str, ...] = ()
    stands_open: bool = False
    """Whether the promotion's own record could not be ended: nothing else may begin before a resume."""

    @property
    def exit_code(self) -> int:
        """1 as before, 6 a person is needed, 0 done; an interruption's code is the caller's."""
        match self.ending:
            case Ending.SUCCEEDED:
                return 0
            case Ending.FAILED:
                return 1
            case _:
                return 6


def in_words(ending: Ending, cause: LiftlockError | None, stopped: str) -> str:
    """How a run ended, for a chat: what failed, and what became of the environment."""
    if ending is Ending.SUCCEEDED:
        return "succeeded"
    why = cause.headline if cause else stopped
    became = "everything runs as before" if ending is Ending.FAILED else f"{ending}: look at it"
    return f"failed ({became}). {why}"
