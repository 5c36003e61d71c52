"""What gates are judged by, besides the plan itself. Pure data, gathered by `commands.facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from liftlock.model import EMPTY, Approval, Backup, Check, Deployment, Running, Unknown, WorkflowRun
from liftlock.planning.observation import Drift

UNASKED = Unknown("nobody has looked yet")


@dataclass(frozen=True, slots=True)
class SourceState:
    """How an app does in the source environment."""

    drift: Drift
    running: Running
    difference: str = ""
    """How running differs from recorded, in words; "" unless it has drifted."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a gate's program ended; `exit_code` None says that it ran out of time."""

    exit_code: int | None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Whatever was found out; an `Unknown` says why something was not."""

    requester: str = ""
    acting_for: str = ""
    """Whom the requester, a server's own account, acts for; "" where it asks for itself."""
    is_local: bool = False
    """Whether the ledger is a file, which knows people as this machine's users."""
    approvals: Sequence[Approval] | Unknown = UNASKED
    workflow: WorkflowRun | Unknown | None = None
    """The run that this is a part of; None outside of any."""
    job_environments: tuple[str, ...] = ()
    """The environments at GitHub whose reviewers are asked before a job may change the target."""
    ran: Mapping[str, Sequence[Deployment]] = field(default_factory=lambda: EMPTY)
    """By app, its records in the source, newest first; an app may be absent."""
    checks: Mapping[str, Sequence[Check] | Unknown] = field(default_factory=lambda: EMPTY)
    """By app, what the checks say of the commit that it is to run."""
    source: Mapping[str, SourceState] | Unknown = UNASKED
    """By app."""
    backups: Mapping[str, Sequence[Backup] | Unknown] | Unknown = UNASKED
    """By each app of the target that is backed up."""
    command: Ended | Unknown = UNASKED
