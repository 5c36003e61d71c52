"""The protocols that the core speaks. An adapter implements one; the core never sees a vendor.

Every method may raise `liftlock.errors.VendorError`. Every method that changes something first
asks whether its work is done, so that it is safe to call again after a crash; a call whose answer
was lost is resolved by looking. Waiting is done with `anyio.sleep`, so that simulations can run
on a virtual clock; wall-clock time comes from a `Clock`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from liftlock.model import (
    EMPTY,
    App,
    Approval,
    Artifacts,
    Backup,
    Between,
    Check,
    Commit,
    Database,
    Deployment,
    Digest,
    Holding,
    ImageId,
    Intent,
    Kind,
    Known,
    Located,
    Missing,
    ProcessSource,
    Recorded,
    Release,
    Running,
    State,
    StepTime,
    Target,
    WorkflowRun,
)

Progress = Callable[[str], None]
"""Told, in a few words, what is being waited for: "release phase runs", "2 of 3 dynos are up"."""


class Clock(Protocol):
    """Wall-clock time, in UTC. Durations are measured with `anyio.current_time()`."""

    def now(self) -> datetime: ...

    def boottime(self) -> float:
        """Seconds since any fixed moment, those that the machine was suspended among them."""
        ...


@dataclass(frozen=True, slots=True)
class Switch:
    """What a platform's `release` did.

    `marker` is the platform's own name of the outcome (`v43`); `changed` is False when the target
    already ran the release and nothing had to be done.
    """

    marker: str
    changed: bool = True


async def at_once() -> None:
    """Nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Publication:
    """How artifacts are published."""

    before_tags: Callable[[], Awaitable[None]] = at_once
    """Awaited when everything is uploaded and before any tag moves: the other apps may fail until then."""
    rebuild: bool = False
    """Whether to build although the commit's images are there already: its work tree says something else."""


PUBLICATION = Publication()


class Platform(Protocol):
    """A place where apps run: containers, sites or commands, all by the same verbs.

    An adapter that inherits from it need not write `pin` and `build`.
    """

    name: str
    """The key that names it in `[apps.X]`, and the entry point's name."""
    concurrency: int
    """How many of its steps may run at once."""

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """What runs at `target` now.

        `expected` are the releases it may be running (recorded, wanted): a platform that cannot
        name what it runs may answer by comparing. It is never a reason to answer without looking.
        Returns `Unknown` when what runs cannot be told; raises only when the vendor cannot be
        reached or refuses.
        """
        ...

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """Where the artifacts of `release` are, looking at `target`, then `source`, then the archive.

        Changes nothing. Resolves ids as other tools recorded them.
        """
        ...

    async def pin(self, source: Target, release: Release) -> Release:
        """`release` with every artifact pinned that its record did not name.

        A site's record of another tool names no version: the version live in `source` is pinned.
        A release that is pinned already is returned as it is, with its content filled in where
        that takes a look (a site version's).
        """
        return release

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """Make the artifacts present at `target` without switching, and prove that they are the same bytes.

        Returns the release as it stands at the target (a cloned site version has another name).
        """
        ...

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """Switch `target` to a staged release: every process type in one call.

        `promotion` is the id of the intent that this is done for; platforms that can keep it
        with what runs do, and tell by it a repeat from a second time. Waits for the platform's own release phase. Raises `ReleaseFailed` when the platform did
        not make the switch.
        """
        ...

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """Wait until `target` runs `release` and keeps running it for `settle_s` seconds.

        Raises `NotHealthy`, with the last log lines where there are any.
        """
        ...

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """Take `target` back from `released` to what ran before, and wait until that runs.

        `released` tells which release is undone, for platforms whose undo belongs to a release.
        A target that ran nothing before is emptied: its containers removed, its site disabled.
        """
        ...

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """Make the artifacts of `app` at `commit` present for all its environments, and return them.

        For `deploy`: images are built or found and pushed, a site's files become a version of the
        first environment's site. Nothing is switched.
        """
        ...

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        """Build the images of `app` on this machine, by process type; empty where there are none."""
        return {}


@runtime_checkable
class Maintenance(Protocol):
    """A platform that can keep its apps' users out for a while. Not every platform can."""

    async def maintain(self, target: Target, on: bool) -> bool:
        """Switch maintenance mode on or off; gives whether it was on before. Safe to repeat."""
        ...


@runtime_checkable
class HasPages(Protocol):
    """A platform whose targets people can look at."""

    def page(self, target: Target) -> str:
        """The address where people look at a target: the app itself, or its page at the platform. Asks nobody."""
        ...


@runtime_checkable
class Measures(Protocol):
    """A platform that can tell what artifacts are made of. Changes nothing."""

    async def blobs(self, target: Target, release: Release) -> Mapping[str, Mapping[str, int]]:
        """By part, the bytes of each blob that its artifact is made of, as it is sent, by digest.

        A part that is not there any more, or cannot be looked at, is absent.
        """
        ...


@dataclass(frozen=True, slots=True)
class Content:
    """A backup's content while it is read: a custom-format archive of `pg_dump`."""

    pieces: AsyncIterator[bytes]
    size_bytes: int
    checksum: tuple[str, str] = ("", "")
    """The algorithm, as `hashlib` names it, and the digest in hexadecimal; empty where nobody says."""


class DatabaseService(Protocol):
    """A service that holds databases and can back them up."""

    name: str
    concurrency: int

    async def databases(self, target: Target) -> Sequence[Database]:
        """The databases that `target` uses and that a plan must back up. Changes nothing."""
        ...

    async def capture(
        self, database: Database, not_before: datetime | None, progress: Progress, promotion: str = ""
    ) -> Backup:
        """Take a backup and wait until it is complete.

        A complete or running backup of it that started at or after `not_before` counts, whoever
        asked for it; without `not_before` a new one is taken in any case. Where the service's times
        are those of whichever machine took a backup, they order nothing: there it writes down the
        `promotion` (its intent's key) that a backup is taken for, and counts only one of the same.
        `earlier_bytes` of the result is filled in, without a further round trip. Raises `BackupFailed`.
        """
        ...

    async def backups(self, target: Target, *, gone: bool = False) -> Sequence[Backup]:
        """The complete backups of the target's databases, newest first; with `gone`, those whose
        content is no more as well, as far as the service still lists them."""
        ...

    def content(self, database: Database, backup: Backup) -> AbstractAsyncContextManager[Content]:
        """The content of a backup, to be read piece by piece. Safe to repeat."""
        ...

    async def restore(self, database: Database, backup: Backup, progress: Progress) -> None:
        """Make the database what it was when the backup was taken, and wait until that is done.

        Raises `BackupFailed` when the database surely stands as before, and `NeedsPerson` when
        that cannot be told.
        """
        ...

    async def delete(self, database: Database, backup: Backup) -> None:
        """Delete a backup. Safe to repeat."""
        ...

    async def address(self, database: Database) -> str:
        """The database's own address, `postgresql://…`. It holds a secret: never shown."""
        ...


class Scratch(Protocol):
    """A PostgreSQL database of our own, made for one look at a backup and gone afterwards."""

    @property
    def where(self) -> str:
        """Which server it is on, in words."""
        ...

    async def load(self, archive: Path) -> None:
        """Restore an archive of `pg_dump` into it. Raises `BackupFailed` in the words of `pg_restore`."""
        ...

    async def tables(self) -> Mapping[str, int]:
        """The rows of every table in it, by `schema.table`."""
        ...

    async def tables_at(self, address: str) -> Mapping[str, int]:
        """The same of another database. Raises `LiftlockError` where it cannot be reached or read."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image in a repository of a registry, as looked up there."""

    repository: str
    digest: Digest
    image_id: ImageId
    media_type: str
    size_bytes: int
    blobs: Mapping[str, int] = field(default_factory=lambda: EMPTY, compare=False)
    """The bytes of its config and each of its layers, as they are sent, by digest."""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image on this machine; `size_bytes` are its blobs' as they are sent."""

    image_id: ImageId
    size_bytes: int


class Images(Protocol):
    """A container registry, as a platform uses it. Repositories are full: `host/path/name`."""

    async def look_up(self, repository: str, reference: str) -> RegistryImage | None:
        """The image under a tag or a digest, or None when there is none."""
        ...

    async def has_config(self, repository: str, image_id: ImageId) -> bool:
        """Whether the repository holds the config blob of this image id."""
        ...

    async def copy(
        self, image: RegistryImage, repository: str, tag: str, progress: Progress
    ) -> RegistryImage:
        """Copy an image between repositories, its config blob byte for byte, its tag last."""
        ...

    async def build(self, source: ProcessSource, checkout: Path, progress: Progress) -> BuiltImage:
        """Build or find a process type's image on this machine; one source is built once.

        Raises `ArtifactMissing` when it is in no engine here.
        """
        ...

    async def publish(
        self,
        source: ProcessSource,
        checkout: Path,
        tags: Mapping[str, Sequence[str]],
        progress: Progress,
        before_tags: Callable[[], Awaitable[None]] = at_once,
    ) -> RegistryImage:
        """Build or find a process type's image, as `build` does, and push it.

        `tags` says per repository under which tags; they come last, after `before_tags`.
        """
        ...


class SourceCode(Protocol):
    """The repositories' commits, for reading."""

    async def commit(self, repository: str, sha: str) -> Commit | None:
        """What is known of a commit; None when it is not found."""
        ...

    async def about(self, repository: str, sha: str) -> Commit:
        """All that can be told of a commit within a few seconds, its author's account and its pull
        request among it. Raises nothing: what cannot be told is left out."""
        ...

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        """What every check says of a commit, the newest word of each.

        Raises `NotFound` when the repository does not have the commit.
        """
        ...

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        """How `head` stands to `base`, and what changed; None when either commit is not found."""
        ...

    async def distance(self, repository: str, base: str, head: str) -> Between | None:
        """As `between`, without the files: one round trip at most."""
        ...

    async def history(self, repository: str, base: str, head: str) -> Between | None:
        """As `between`, with the commits that `head` has and `base` has not."""
        ...

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        """A page that shows what lies between two commits; "" when there is none."""
        ...

    def commit_url(self, repository: str, sha: str) -> str:
        """The page that shows a commit; "" when there is none. Asks nobody."""
        ...

    def pull_request_url(self, repository: str, number: int) -> str:
        """The page of a pull request; "" when there is none. Asks nobody."""
        ...

    def checkout(self, repository: str, sha: str) -> AbstractAsyncContextManager[Path]:
        """A temporary folder with the files of that commit, removed on leaving."""
        ...


class Workflow(Protocol):
    """The run of a workflow that this process is a part of, for reading."""

    async def run(self) -> WorkflowRun:
        """Who started it, and who reviewed it by now."""
        ...


def anything(_: object) -> bool:
    """Takes every entry of a listing."""
    return True


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment record to be made. See `Ledger.record`."""

    app: str
    environment: str
    release: Release
    promotion: str
    kind: Kind
    source_environment: str = ""
    source_deployment: str = ""
    replaced: str = ""
    backups: tuple[Backup, ...] = ()
    steps: Mapping[str, StepTime] = field(default_factory=lambda: EMPTY)
    awake: tuple[str, ...] = ()
    """The process types that have processes: one of them at zero later is drift."""
    description: str = ""
    requested_by: str = ""
    """Whom a server acts for; "" where the ledger's own account asks for itself."""


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A promotion about to begin. See `Ledger.open_intent`."""

    key: str
    """Chosen by us, unique: a create whose answer was lost is found again by it."""
    kind: Kind
    environment: str
    source: str
    plan_digest: str
    releases: Mapping[str, Release]
    replaced: Mapping[str, str]
    before: Mapping[str, Artifacts]
    reverts: str = ""
    overrides: Mapping[str, str] | None = None
    undo_on_failure: bool = True
    expected_backups: tuple[str, ...] = ()
    requested_by: str = ""
    """Whom a server acts for; "" where the ledger's own account asks for itself."""


@dataclass(frozen=True, slots=True)
class PromotionRecords:
    """The records of one promotion, by app."""

    made: Mapping[str, Deployment]
    """What is absent was never recorded."""
    replaced: Mapping[str, Deployment]
    """Those that were current before."""


class EnvironmentRecords(Protocol):
    """What one look at the ledger found for an environment; more looks happen only where needed."""

    async def newest(self) -> Mapping[str, Deployment]:
        """By app, the newest record, whatever became of it. One round trip."""
        ...

    async def recorded(self) -> Mapping[str, Recorded]:
        """By app, the current deployment and the failed ones since. At most one more round trip,
        but for an app whose newest records failed."""
        ...

    async def earlier(self) -> Mapping[str, Sequence[Deployment]]:
        """By app, the records that the look for the newest ones showed with them, newest first.

        No round trip beyond that of `newest`. Their states are not known.
        """
        ...

    async def open_intents(self) -> Sequence[Intent]:
        """The promotions that stand open in this environment, newest first."""
        ...


class Ledger(Protocol):
    """Where deployments are recorded.

    An intent is written before the first change. The apps' own records are made only when every
    app of the plan was verified. Records of other tools are read as well as our own.
    """

    name: str
    concurrency: int

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        """Begin to read an environment's records of these apps. Nothing is sent before the first
        method of the result is awaited, and nothing is sent twice."""
        ...

    async def open_intent(self, new: NewIntent) -> Intent:
        """Write the intent. A second call with the same key returns the first one's intent."""
        ...

    async def close_intent(self, intent: Intent, state: State, description: str) -> None:
        """Say how a promotion ended. `description` is cut to what the ledger can hold."""
        ...

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        """Make an app's deployment record. One that this intent already made is returned as it is."""
        ...

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        """Write a status on a record that we made."""
        ...

    async def intents(
        self,
        environment: str | None,
        limit: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str = "",
        where: Callable[[Intent], bool] = anything,
    ) -> Sequence[Intent]:
        """Promotions, rollbacks and deploys, newest first; of one environment or of all.

        Only those that began at `since` or later and before `until`, that are that person's (see
        `model.is_by`), and that `where` takes: it is asked newest first, before their states are known.
        No more is read than it takes to find `limit` of them.
        """
        ...

    async def deployments(
        self,
        environment: str,
        app: str,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Deployment], bool] = anything,
    ) -> Sequence[Deployment]:
        """An app's records in an environment, newest first, other tools' included; `since` and
        `where` as for `intents`."""
        ...

    async def intent_of(self, id_: str) -> Intent | None:
        """The promotion, rollback or deploy of that id. The same few requests however many there are."""
        ...

    async def deployment_of(self, id_: str) -> Deployment | None:
        """The record of that id, ours or another tool's, of any app; as few requests as for `intent_of`."""
        ...

    async def records_of(self, intent: Intent, apps: Sequence[str]) -> PromotionRecords:
        """The records of these apps that a promotion made, and those that it replaced."""
        ...

    async def others(
        self,
        environment: str,
        apps: Sequence[str],
        limit: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str = "",
    ) -> Sequence[Deployment]:
        """The records of these apps in an environment that no promotion of ours made, newest first;
        `since`, `until` and `by` as for `intents`."""
        ...

    async def account(self) -> str:
        """Who we are to the ledger. Proves that the credential works."""
        ...

    async def approve(self, environment: str, plan_digest: str, expires_at: datetime) -> Approval:
        """Approve a plan, as the account that the ledger knows us by."""
        ...

    async def approvals(self, environment: str, plan_digest: str) -> Sequence[Approval]:
        """Every approval of that plan, the expired ones too, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a ledger as it is kept there: what a copy of a ledger is made of.

    What a kind of entry has no use for stays empty.
    """

    kind: Literal["intent", "deployment", "approval"]
    id: str
    environment: str
    created_at: datetime
    creator: str
    """Of an approval: whose it is."""
    payload: str = ""
    """JSON, or whatever another tool put there."""
    state: str | None = None
    app: str = ""
    sha: str = ""
    promotion: str = ""
    reached_success: bool = False
    key: str = ""
    description: str = ""
    finished_at: datetime | None = None
    url: str = ""
    plan: str = ""
    expires_at: datetime | None = None


@runtime_checkable
class Exporting(Protocol):
    """A ledger that can be copied to another one."""

    async def entries(self) -> Sequence[Entry]:
        """Everything that it keeps of the project, oldest first."""
        ...


@runtime_checkable
class Importing(Exporting, Protocol):
    """A ledger that another one can be copied into."""

    async def put(self, entries: Sequence[Entry], origin: str) -> None:
        """Keep all of these, or none, under ids of here.

        What came from that origin before is brought up to date. Ids in payloads become those of here; one
        of something that did not come along becomes `ORIGIN#ID`. Raises `UsageError` for a ledger that has
        entries of the project from elsewhere.
        """
        ...

    async def differing(self, entries: Sequence[Entry], origin: str) -> Sequence[Entry]:
        """Those of the entries that do not stand here as they stand at that origin, but for the ids."""
        ...


class Lease(Protocol):
    """A lease that we hold. Its journal outlives us: whoever takes the next one can read it."""

    @property
    def holding(self) -> Holding: ...

    @property
    def journal(self) -> Sequence[Mapping[str, Any]]:
        """The entries so far, those of a holder that vanished included, oldest first."""
        ...

    def lasts_s(self) -> float:
        """How long it is sure to last, in seconds, on a clock that counts suspend; 0 when it is over."""
        ...

    def seen_s(self) -> float:
        """How long ago it was last seen to be ours, in seconds, on the same clock."""
        ...

    def vacant_s(self) -> float | None:
        """How long ago its last holder lost it without giving it back; None when it was given back."""
        ...

    async def look(self) -> None:
        """See that it is still ours, at the least cost. Raises `LeaseLost` when somebody took or broke it."""
        ...

    async def renew(self) -> None:
        """Make it last its whole time again. Raises `LeaseLost` when somebody else took or broke it."""
        ...

    async def write(self, entry: Mapping[str, Any]) -> None:
        """Append to the journal, chained to the entry before. Raises `LeaseLost`."""
        ...

    async def free(self, *, hand_on: bool = False) -> None:
        """Give it back; with `hand_on`, whoever comes next can read a journal that we had from a holder
        who vanished. One that is lost already stays lost: nothing is raised for that."""
        ...


class Leases(Protocol):
    """The right to change an environment, held by one promotion at a time.

    Expiry is judged by the clock of whoever keeps the leases, plus a margin, never by ours alone.
    """

    async def take(self, environment: str, purpose: str) -> Lease:
        """Take the environment's lease. Raises `Busy`, with the holder, when somebody holds it."""
        ...

    async def holding(self, environment: str) -> Holding | None:
        """Who holds it now; None when it is free or has run out."""
        ...

    async def journal(self, environment: str) -> Sequence[Mapping[str, Any]]:
        """The journal of the newest lease, oldest entry first; empty when that was given back."""
        ...

    async def break_(self, environment: str, reason: str) -> Holding:
        """Take it away from its holder, recording why. Raises `LiftlockError` when nobody holds it."""
        ...


@dataclass(frozen=True, slots=True)
class AppLine:
    """One app's line in a notification."""

    app: str
    what: str
    commit: str
    compare_url: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a notifier tells: one message per promotion."""

    title: str
    outcome: str
    environment: str
    source: str
    who: str
    duration_s: float
    lines: tuple[AppLine, ...]
    backups: tuple[Backup, ...] = ()
    notes: tuple[str, ...] = ()
    url: str = ""


class Notifier(Protocol):
    """Somewhere people are told. A failure here never fails a promotion."""

    name: str

    async def announce(self, announcement: Announcement) -> None: ...


@dataclass(frozen=True, slots=True)
class Adapters:
    """Every adapter of a project, put together by `wiring`; what the use cases work with."""

    platforms: Mapping[str, Platform]
    ledger: Ledger
    databases: Mapping[str, DatabaseService]
    """By name: a platform's own has the platform's name."""
    notifiers: Sequence[Notifier]
    source_code: SourceCode
    clock: Clock
    leases: Leases
    workflow: Workflow | None = None
    """None outside of any run of a workflow."""
    acting_for: str = ""
    """The account of the person for whom a server acts; "" where whoever runs this asks for themselves."""

    def databases_of(self, app: App) -> DatabaseService | None:
        """The service that backs up an app's databases; None where there is none for its platform."""
        return self.databases.get(app.databases or app.platform)


WaitNotice = Callable[[str, float, str], None]
"""Told (vendor, seconds, why) when a client waits for a vendor's limit."""
