"""The documents that looking gives, in types: what `liftlock.documents` makes, for the API's description.

The tests hold real documents against them, and none has a key that does not stand here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, RootModel

from liftlock.model import Kind, Relation, State
from liftlock.planning.comparison import Standing
from liftlock.planning.observation import Drift
from liftlock.planning.plan import Action, StepKind
from liftlock.web.api.operations import Shape


class ReleaseTold(Shape):
    """A release: one app's artifacts from one commit."""

    commit: str
    artifacts: dict[str, str] = Field(
        description="By part, the artifact's own name: an image's id, a site's version, a commit."
    )


class CommitTold(Shape):
    """What is known of a commit."""

    subject: str
    author: str | None
    login: str | None
    committed_at: datetime | None
    pull_request: int | None


class RecordTold(ReleaseTold):
    """The record that is current, with its release."""

    record: str
    at: datetime
    by: str
    promotion: str | None
    about: CommitTold | None


class RunningKnown(Shape):
    """What runs."""

    known: Literal[True]
    artifacts: dict[str, str]
    marker: str = Field(description="The platform's own name of it.")
    note: str


class RunningUnknown(Shape):
    """Why nobody can tell what runs."""

    known: Literal[False]
    reason: str


class DistanceTold(Shape):
    """How far an environment's commit is from this one's."""

    relation: Relation
    ahead: int
    behind: int


class LinksTold(Shape):
    """Where people look at it."""

    commit: str | None
    pull_request: str | None
    target: str | None


class CellTold(Shape):
    """One app in one environment."""

    app: str
    environment: str
    recorded: RecordTold | None
    running: RunningKnown | RunningUnknown
    drift: Drift
    difference: str | None = Field(description="How running differs from recorded.")
    note: str | None
    behind: str | None = Field(description="The environment before that holds other artifacts.")
    distance: DistanceTold | None
    links: LinksTold


class StatusTold(Shape):
    """What is recorded and what runs: `liftlock status --json`."""

    apps: list[CellTold]
    open: dict[str, list[str]] = Field(description="By environment, the promotions that stand open.")


class AppPlanned(Shape):
    """What a plan does with one app, and why."""

    action: Action
    why: str
    release: ReleaseTold | None
    where: dict[str, str] | None = Field(description="By part, where its artifact is.")
    running: RunningKnown | RunningUnknown | None
    replaces: str | None
    source_deployment: str | None
    reversible: bool
    removes: list[str]
    asleep: list[str]
    notes: list[str]


class BackupPlanned(Shape):
    """A database that is backed up before anything is switched."""

    app: str
    database: str
    service: str


class GateTold(Shape):
    """What a gate says of a plan."""

    gate: str
    passed: bool
    reason: str
    passes_at: datetime | None
    overridden: str | None = Field(description="Why it is passed all the same.")
    output: list[str]


class ExpectedTold(Shape):
    """How long a plan should take."""

    seconds: float
    is_whole: bool = Field(description="False where it takes at least that long.")


class StepTold(Shape):
    """One step of a plan."""

    id: str
    kind: StepKind
    app: str | None
    needs: list[str]
    expected_s: float | None


class PlanTold(Shape):
    """A plan: `liftlock plan --json`."""

    liftlock_plan: int = Field(description="The version of this format.")
    project: str
    kind: Kind
    source: str | None
    environment: str
    digest: str
    configuration: str
    observed_at: datetime
    selected: list[str]
    reverts: str | None
    apps: dict[str, AppPlanned]
    backups: list[BackupPlanned]
    gates: list[GateTold]
    notes: list[str]
    expected: ExpectedTold | None
    steps: list[StepTold]


class _Ours(Shape):
    at: datetime
    environment: str
    kind: Kind
    source: str | None
    id: str
    by: str
    outcome: Literal["open"] | State
    finished_at: datetime | None
    took_s: float | None
    description: str
    plan: str
    overrides: dict[str, str] = Field(description="By gate, why it was passed all the same.")
    reverts: str | None


class PromotionListed(_Ours):
    """A promotion, rollback or deploy of the history."""

    apps: dict[str, ReleaseTold]


class OtherRecord(Shape):
    """A record that another tool made."""

    at: datetime
    environment: str
    kind: Literal["record of another tool"]
    id: str
    by: str
    outcome: State | None
    apps: dict[str, ReleaseTold]


class HistoryEntry(RootModel[PromotionListed | OtherRecord]):
    """An entry of `liftlock history --json`."""


class StepTimed(Shape):
    """When a step began after its run did, and how long it took, in seconds."""

    began_s: float
    took_s: float


class AppMoved(ReleaseTold):
    """What an app got from a promotion."""

    before: str | None = Field(description="The commit that was recorded before.")
    record: str | None
    steps: dict[str, StepTimed]


class ApprovalTold(Shape):
    """Somebody's approval of a plan."""

    by: str
    at: datetime
    expires_at: datetime


class BackupCounted(Shape):
    """A backup that a promotion counted on."""

    app: str
    id: str
    database: str
    size_bytes: int
    started_at: datetime
    finished_at: datetime


class PromotionWhole(_Ours):
    """A promotion, rollback or deploy with all that is known of it."""

    apps: dict[str, AppMoved]
    on_failure: Literal["undo", "stop"]
    approvals: list[ApprovalTold] | None = Field(description="Null where nobody can tell.")
    backups: list[BackupCounted]
    url: str | None


class PromotionTold(RootModel[PromotionWhole | OtherRecord]):
    """One entry of the history: `liftlock history ID --json`."""


class CommitCompared(Shape):
    """A commit that the source has and the target lacks."""

    sha: str
    subject: str
    author: str | None
    login: str | None
    committed_at: datetime | None
    pull_request: int | None
    told: bool = Field(description="Whether it concerns this app.")
    url: str | None


class PartChanged(Shape):
    """An artifact that differs."""

    part: str
    before: str | None
    after: str | None


class SizesTold(Shape):
    """How many bytes artifacts have, and share."""

    before_bytes: int
    after_bytes: int
    shared_bytes: int


class AppCompared(Shape):
    """One app in two environments."""

    app: str
    standing: Standing
    source: ReleaseTold | None
    target: ReleaseTold | None
    ahead: int | None
    behind: int | None
    commits: list[CommitCompared]
    authors: list[str]
    pull_requests: list[int]
    changes: list[PartChanged]
    sizes: SizesTold | None
    migrations: list[str] | None
    note: str | None
    url: str | None


class DiffTold(Shape):
    """Two environments compared: `liftlock diff --json`."""

    project: str
    source: str
    target: str
    apps: list[AppCompared]


class BackupKept(Shape):
    """A complete backup."""

    id: str
    database: str
    apps: list[str]
    service: str
    size_bytes: int
    started_at: datetime
    finished_at: datetime


class BackupsTold(Shape):
    """The backups of an environment's databases, newest first."""

    environment: str
    backups: list[BackupKept]


class HoldingTold(Shape):
    """Who holds an environment."""

    holder: str
    purpose: str
    since: datetime
    until: datetime
    token: int = Field(description="It grows by one with every lease that is taken.")
    broken: str = Field(description="Why somebody broke it.")


class LeaseTold(Shape):
    """Who holds an environment; null where nobody does."""

    environment: str
    holding: HoldingTold | None
