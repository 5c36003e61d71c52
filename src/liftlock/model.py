"""The nouns of liftlock: frozen, typed values without input or output.

The words are those of the design: artifact, release, deployment, running, plan, step. Parsing
of vendors' payloads and of the configuration happens at the edges, never here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from liftlock.wording import plain

EMPTY: Mapping[str, Any] = MappingProxyType({})

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Sha256:
    """`sha256:` and 64 hexadecimal digits. What it is the sum of is the subclass's to say: values
    of two subclasses are never equal."""

    value: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.value):
            raise ValueError(
                f"{type(self).__name__} must be sha256: and 64 hexadecimal digits, not {self.value!r}"
            )

    @property
    def short(self) -> str:
        return self.value[7:19]

    def __str__(self) -> str:
        return self.value


class ImageId(_Sha256):
    """The SHA-256 of an image's *config*: what Heroku releases by. Never a manifest's digest."""

    __slots__ = ()


class Digest(_Sha256):
    """The SHA-256 of an image's *manifest*: what registries address by. Never an image id."""

    __slots__ = ()


class RecordedId(_Sha256):
    """An image's id as another tool recorded it: a config's or a manifest's digest, unknown which.

    `docker inspect` prints either, by its image store; only a registry can tell (see `Located`).
    """

    __slots__ = ()


class BundleId(_Sha256):
    """The SHA-256 of what an added platform releases: a package, a folder's files.

    How it is reckoned is the platform's affair; that the same sum means the same bytes is its promise.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SiteVersion:
    """A version of a static site, named as its platform names it (`sites/S/versions/V`).

    `content` is the SHA-256 over its files and configuration. A clone has another name and the
    same content, so content decides whether two versions are the same; "" when it is not known.
    """

    name: str
    content: str = ""

    @property
    def short(self) -> str:
        """The content's, where it is known: a clone elsewhere then reads the same."""
        return self.content[:12] or self.name.rpartition("/")[2][-12:]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class CommitId:
    """A git commit, as the artifact of a command app."""

    value: str

    @property
    def short(self) -> str:
        return self.value[:7]

    def __str__(self) -> str:
        return self.value


Artifact = ImageId | RecordedId | SiteVersion | CommitId | BundleId
Artifacts = Mapping[str, Artifact]
"""Artifacts by part: process types for containers, `site` for a site, `commit` for a command, an added
platform's own words for bundles."""


def same_artifact(one: Artifact, other: Artifact) -> bool:
    """Whether both are the same bytes, by content address. Names and tags never decide."""
    if isinstance(one, SiteVersion) and isinstance(other, SiteVersion):
        if one.content and other.content:
            return one.content == other.content
        return one.name == other.name
    if isinstance(one, (ImageId, RecordedId)) and isinstance(other, (ImageId, RecordedId)):
        return one.value == other.value
    return one == other


def same_artifacts(one: Artifacts, other: Artifacts) -> bool:
    """Whether both have the same parts with the same bytes."""
    return one.keys() == other.keys() and all(same_artifact(one[k], other[k]) for k in one)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a reader wants to know of a commit. What somebody wrote is a line of plain text."""

    sha: str
    subject: str = ""
    author: str = ""
    """The author's name, as git has it."""
    login: str = ""
    """The author's account; "" where nobody knows one."""
    committed_at: datetime | None = None
    pull_request: int | None = None
    """The number of the pull request that brought it."""
    parents: tuple[str, ...] = ()
    url: str = ""

    def __post_init__(self) -> None:
        # Whoever may commit writes these: they must not reach a terminal as anything but text.
        for name in ("subject", "author", "login"):
            object.__setattr__(self, name, plain(getattr(self, name)))

    @property
    def short(self) -> str:
        return self.sha[:7]


@dataclass(frozen=True, slots=True)
class Release:
    """One app's artifacts, built from one commit."""

    app: str
    commit: str
    artifacts: Artifacts
    about: Commit | None = field(default=None, compare=False)
    """What was recorded of the commit; it decides nothing."""

    @property
    def short_commit(self) -> str:
        return self.commit[:7]


@dataclass(frozen=True, slots=True)
class Known:
    """What a platform says it runs. No artifacts: nothing was ever released there."""

    artifacts: Artifacts
    scale: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    """Processes by type, where the platform counts them; a 0 is a type that is asleep."""
    marker: str = ""
    """The platform's own name of what runs (Heroku's `v42`): shown, never compared across targets."""
    healthy: bool | None = None
    note: str = ""
    compared_with: Artifacts | None = None
    """Set by a platform that cannot name what it runs, only compare it with one expected release:
    says which one that was. Empty artifacts then mean "not that one"."""
    pending: str = ""
    """The platform's name of a release that is under way and may replace what runs; "" when none is."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """What runs could not be told. Never "unchanged", never "no drift"."""

    reason: str


Running = Known | Unknown


class Undo(StrEnum):
    """Whether an app's release can be taken back after it was switched."""

    SAFE = "safe"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an app lives in an environment, with what its platform needs to know about it."""

    app: str
    environment: str
    platform: str
    name: str
    """The platform's own name of it: a Heroku app, a Firebase site; the app's name for a command."""
    repository: str = ""
    processes: tuple[str, ...] = ()
    health: str = ""
    """A path that must answer 2xx when the app is healthy; "" for none."""
    options: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """What only this platform understands, checked by its own options model."""
    backup: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Where its database is and where its backups go, for an app that names them itself: `url`
    (a reference to a secret) and `folder`."""
    registry: str = ""
    """The place in a registry below which its images are, for platforms that pull from any: `host/path`."""


@dataclass(frozen=True, slots=True)
class ProcessSource:
    """Where the image of a process type comes from at build time."""

    image: str = ""
    dockerfile: str = ""
    directory: str = ""
    command: tuple[str, ...] = ()
    archive: str = ""
    layout: str = ""
    build: tuple[str, ...] = ()
    """A command that is run before, once for all that name the same one."""
    context: str = ""
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()
    platform: str = ""
    secrets: tuple[tuple[str, str], ...] = ()
    """By the id that the Dockerfile mounts it by: where its value is read, `env:NAME`."""


@dataclass(frozen=True, slots=True)
class RecordName:
    """The names under which the ledger knows an app in an environment."""

    repository: str
    task: str
    environment: str


@dataclass(frozen=True, slots=True)
class App:
    """A unit that is built, released and promoted as one."""

    name: str
    platform: str
    repository: str
    targets: Mapping[str, Target]
    records: Mapping[str, RecordName]
    after: tuple[str, ...] = ()
    backup: bool = False
    databases: str = ""
    """The service that backs its databases up, where that is not its platform's own."""
    undo: Undo = Undo.SAFE
    """As it holds for this app: what the file says, else what its kind implies."""
    processes: Mapping[str, ProcessSource] = field(default_factory=lambda: EMPTY)
    paths: tuple[str, ...] = ()
    """Patterns of what it is made from, below its repository's root; none for everything."""
    migrations: tuple[str, ...] = ()
    """Patterns of its database migrations there; none where nobody says."""


@dataclass(frozen=True, slots=True)
class GateCommand:
    """A program of the team's own that says, by exiting with 0, that a plan may run."""

    run: tuple[str, ...]
    env: tuple[str, ...] = ()
    """The environment variables that it is given, by name."""
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Gates:
    """The conditions on plans into an environment, as configured; what is falsy is no condition."""

    approvals: int = 0
    soak_s: float = 0.0
    window: str = ""
    freeze: tuple[str, ...] = ()
    checks: tuple[str, ...] | bool = False
    """The checks that must be green on every commit; True for every check that there is."""
    source_healthy: bool = False
    backup_age_s: float = 0.0
    command: GateCommand | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A level: its name, what it may be promoted from, and what each vendor calls it."""

    name: str
    promotes_from: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Vendors' names of it, by vendor (`github`, `firebase`); its own name where absent."""
    gates: Gates = Gates()


@dataclass(frozen=True, slots=True)
class GitHubSignIn:
    """The OAuth app through which people sign in to the server with their GitHub accounts."""

    client_id: str
    client_secret: str
    """`env:NAME` or `keyring:NAME`, never the value."""
    url: str = "https://github.com"


@dataclass(frozen=True, slots=True)
class OpenIdSignIn:
    """The OpenID Connect provider through which people sign in to the server."""

    issuer: str
    client_id: str
    client_secret: str
    """`env:NAME` or `keyring:NAME`, never the value."""
    name: str = "OpenID Connect"
    account: str = "email"
    """The claim that is a person's account."""
    groups: str = "groups"


@dataclass(frozen=True, slots=True)
class Serve:
    """How the server is reached, and who may do what through it. No plan depends on it."""

    url: str = ""
    database: str = ""
    github: GitHubSignIn | None = None
    oidc: OpenIdSignIn | None = None
    webhook_secret: str = ""
    """`env:NAME` or `keyring:NAME`; "" where webhooks are refused."""
    keep_s: float = 90 * 86400
    """How long what was asked for is kept once it is over, in seconds."""
    proxies: tuple[str, ...] = ()
    roles: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=lambda: EMPTY)
    """By environment and right: accounts, `team:…`, `group:…`, or `*`."""
    confirm: tuple[str, ...] = ()
    """The environments whose name must be typed before they are changed."""

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in by name; without, whoever asks is the machine's own user."""
        return self.github is not None or self.oidc is not None


@dataclass(frozen=True, slots=True)
class Project:
    """One `liftlock.toml`, checked and with every template filled in."""

    name: str
    repository: str
    ledger: str
    settle_s: float
    environments: Mapping[str, Environment]
    apps: Mapping[str, App]
    endpoints: Mapping[str, str]
    """Base addresses by vendor key (`github`, `heroku`, …), the variables already applied."""
    notify: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: EMPTY)
    lease: str = ""
    archive: str = ""
    single_machine: bool = False
    config_digest: str = ""
    """SHA-256 over what the file means (not its spelling): part of every plan's digest."""
    root: str = "."
    """The folder of the file; relative paths in it start here."""
    serve: Serve = Serve()

    def targets_on(self, platform: str) -> Sequence[Target]:
        """Where the apps of one platform live, app by app."""
        return [t for app in self.apps.values() for t in app.targets.values() if t.platform == platform]


class State(StrEnum):
    """A deployment's state; the values are GitHub's own."""

    QUEUED = "queued"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"


class Kind(StrEnum):
    """What a plan is for. A promotion has a source environment; the others have none."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    DEPLOY = "deploy"
    RECORD = "record"
    """Nothing is switched: what runs already is written into the ledger."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """When a step of a run began, in seconds since the run did, and how many seconds it took."""

    began_s: float
    took_s: float

    @property
    def ended_s(self) -> float:
        return self.began_s + self.took_s


@dataclass(frozen=True, slots=True)
class Deployment:
    """A release put into an environment: the ledger's record of it.

    `state` is the newest status; None when no status was ever written, as other tools do.
    """

    id: str
    app: str
    environment: str
    release: Release
    created_at: datetime
    creator: str = ""
    state: State | None = None
    reached_success: bool = False
    promotion: str = ""
    """The id of the intent that made it; "" for records of other tools."""
    kind: Kind | None = None
    source_environment: str = ""
    replaced: str = ""
    """The id of the deployment that this one replaced."""
    backups: tuple[Backup, ...] = ()
    """The backups of its databases that its promotion took."""
    steps: Mapping[str, StepTime] = field(default_factory=lambda: EMPTY)
    """The times of its stage, backup, release and verify steps, as far as its promotion had them."""
    awake: tuple[str, ...] = ()
    """The process types that had processes when it was made, as far as its platform counts them."""
    url: str = ""

    @property
    def counts(self) -> bool:
        """Whether it can be *current*: it ever reached success, or nobody wrote it any status."""
        return self.reached_success or self.state is None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says of one app in one environment."""

    current: Deployment | None
    failed_since: tuple[Deployment, ...] = ()
    """Newer records that never reached success, newest first: shown, never promoted."""

    @property
    def awake(self) -> tuple[str, ...]:
        """The process types that had processes when the current record was made."""
        return self.current.awake if self.current else ()


@dataclass(frozen=True, slots=True)
class Database:
    """A database that a plan may have to back up, as its service names it."""

    id: str
    app: str
    environment: str
    service: str
    account: str = ""
    """Whom the service bills for it; some services list its backups there."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete backup: its size in bytes and its times are known."""

    id: str
    database: str
    app: str
    service: str
    size_bytes: int
    started_at: datetime
    finished_at: datetime
    gone_at: datetime | None = None
    """Since when its content is no more: it was deleted, or the service's time for it is over."""
    earlier_bytes: tuple[int, ...] = field(default=(), compare=False)
    """With a backup just taken: the sizes of the last ones of its database before it, newest first."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where a release's artifacts are, after looking.

    `release` has every `RecordedId` resolved to the `ImageId` that the platform releases by.
    `where` says per part: `target` (already there), `source` or `archive` (to be copied),
    `clone` (to be cloned), or `unproved` (it could not be looked at).
    """

    release: Release
    where: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """An artifact that was looked for everywhere and is nowhere, or cannot be used."""

    reason: str
    hint: str = ""


VIA = " via "
"""Stands in a creator between the person for whom a server acted and the server's own account: "ada via bot"."""


def is_by(creator: str, person: str) -> bool:
    """Whether an entry of this creator is that person's; "" means anybody.

    What a server did for somebody is theirs, and its own account's.
    """
    told = creator.casefold()
    return person.casefold() in {"", told, *told.split(VIA)}


@dataclass(frozen=True, slots=True)
class Intent:
    """The record of a promotion itself, written before its first change."""

    id: str
    kind: Kind
    environment: str
    source: str
    plan_digest: str
    releases: Mapping[str, Release]
    created_at: datetime
    creator: str = ""
    state: State = State.IN_PROGRESS
    description: str = ""
    replaced: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """By app, the id of the deployment that was current before."""
    before: Mapping[str, Artifacts] = field(default_factory=lambda: EMPTY)
    """By app, what ran before; an app whose running state was unknown is absent."""
    reverts: str = ""
    """For a rollback: the id of the intent whose effect it takes back."""
    backups: tuple[Backup, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Gates that were overridden, each with its reason."""
    undo_on_failure: bool = True
    """What `--on-failure` said: put back what was switched, or leave it as it stands."""
    finished_at: datetime | None = None
    url: str = ""
    key: str = ""
    """What its maker chose to find it again by; "" where nobody tells."""

    @property
    def is_open(self) -> bool:
        return self.state in {State.IN_PROGRESS, State.QUEUED, State.PENDING}


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds an environment's lease: what a loser is told."""

    environment: str
    holder: str
    purpose: str
    since: datetime
    until: datetime
    token: int
    """The fencing token: it grows by one with every lease that is taken."""
    broken: str = ""
    """The reason that somebody gave for breaking it."""


class Relation(StrEnum):
    """How a commit stands to an earlier one, the base; the values are GitHub's own."""

    AHEAD = "ahead"
    BEHIND = "behind"
    SAME = "identical"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Between:
    """What lies between two commits, `base` and `head`."""

    relation: Relation
    paths: tuple[str, ...] | None = None
    """The files that changed; None when they are not all known."""
    ahead: int = 0
    """How many commits `head` has that `base` has not."""
    behind: int = 0
    """How many commits `base` has that `head` has not."""
    commits: tuple[Commit, ...] = ()
    """Those that `head` is ahead by, newest first, where they were asked for; the oldest may be missing."""


def mainline(commits: Sequence[Commit]) -> tuple[Commit, ...]:
    """Of commits, newest first, those that were made on the branch itself or merged into it.

    What a merge brought is reached through its second parent, and is told by the merge.
    """
    by_sha = {commit.sha: commit for commit in commits}
    found = []
    at = commits[0].sha if commits else ""
    while (commit := by_sha.pop(at, None)) is not None:
        found.append(commit)
        at = commit.parents[0] if commit.parents else ""
    return tuple(found)


class CheckState(StrEnum):
    """What a check said of a commit."""

    GREEN = "green"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a commit: a job of a pipeline, or a status that some tool wrote."""

    name: str
    state: CheckState
    url: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's yes to one plan, as the ledger authenticated them."""

    account: str
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer said of a job that waited to be let into environments at GitHub."""

    account: str
    approved: bool
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The run of a workflow that this process is a part of, as GitHub tells it."""

    started_by: tuple[str, ...]
    """Who started it, and who started it again."""
    attempt: int
    is_running: bool
    reviews: tuple[Review, ...] = ()
