"""What commands share on the command line: options, their defaults, and how they are read."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from liftlock.cli import completers
from liftlock.cli.session import Common
from liftlock.config import duration_s
from liftlock.errors import UsageError

Flag = Parameter(negative="")
"""A switch without a `--no-` twin."""
EnvironmentName = Annotated[str, Parameter(completer=completers.environments)]
SourceName = Annotated[str, Parameter(completer=completers.sources)]
TargetName = Annotated[str, Parameter(completer=completers.targets)]
AppName = Annotated[str, Parameter(completer=completers.apps)]
GateNames = Annotated[list[str] | None, Parameter(completer=completers.gates)]
PromotionId = Annotated[str, Parameter(completer=completers.promotions)]
Wait = Annotated[str, Parameter(show_default=True)]
DEFAULTS = Common()


def seconds(duration: str, option: str = "--wait") -> float:
    """A duration of the command line. Raises `UsageError`."""
    try:
        return duration_s(duration)
    except ValueError as error:
        raise UsageError(f"{option} {duration}: {error}", hint=f"For example: {option} 10m") from error
