"""The shape of `liftlock.toml`, key by key: what is read, described and offered to editors.

A value's own form is checked here; what values mean to each other is checked in `checks`.
Descriptions are written once, here; the reference page and the JSON Schema are made from them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WrapValidator,
    create_model,
)

from liftlock.config import values
from liftlock.config.serving import GitHubTable, OpenIdTable, RolesTable, ServeTable, SignInTable
from liftlock.config.table import (
    Addresses,
    Arguments,
    ArgumentTemplates,
    BuildCommand,
    BuildPlatform,
    BuildSecret,
    Checks,
    DockerHost,
    Duration,
    Endpoint,
    Filled,
    Freeze,
    HealthPath,
    Image,
    Ledger,
    MountId,
    Name,
    Names,
    PathPattern,
    ProcessType,
    Registries,
    Registry,
    RelativePath,
    Repository,
    Secret,
    Secrets,
    ServiceName,
    Table,
    Task,
    Template,
    VariableName,
    Variables,
    Window,
)

PLATFORMS = ("heroku", "firebase", "directory", "command", "swarm")
"""The platforms that come with liftlock; others are added by entry points."""
PULLS_NOTHING = ("heroku", "firebase", "directory", "command")
"""Of these, the platforms whose apps are not pulled from `registry`."""
NOTIFIERS = ("slack",)
LEDGERS = ("github", "sqlite", "postgresql")


class ProjectTable(Table):
    """The project as a whole."""

    name: Name = Field(
        description="The project's name; leases and records carry it.", examples=["observatory"]
    )
    repository: Repository = Field(
        default="",
        description="The project's GitHub repository. Records of promotions go there, and so do those of "
        "apps that name no repository of their own. May be left out only with another ledger than GitHub.",
        examples=["example/services"],
    )
    ledger: Ledger = Field(
        default="github",
        description="Where deployments are recorded: `github`, or an SQL database. "
        "An address never holds a password.",
        examples=["github", "sqlite:///liftlock.db", "postgresql://db.example.com/liftlock"],
    )
    lease: Repository = Field(
        default="",
        description="Another GitHub repository for the lease, so that a promoting token cannot push code. "
        "The project's repository when left out.",
        examples=["example/leases"],
    )
    archive: Registry = Field(
        default="",
        description="A place in a registry that keeps every pushed image, since a platform may expire "
        "what it never released.",
        examples=["ghcr.io/example"],
    )
    registry: Registries = Field(
        default="",
        description="The place in a registry that images are pushed to and pulled from, for platforms that pull "
        "from any: below it, each process type of each app has a repository, `APP/TYPE`. One place serves all "
        "environments; a template with `{env}`, or a table by environment, gives each its own, and a promotion "
        "copies.",
        examples=["registry.example.com/observatory", "registry.example.com/{env}"],
    )
    settle: Duration = Field(
        default="30s",
        description="How long a release must stay healthy before it counts.",
        examples=["30s", "500ms"],
    )
    single_machine: bool = Field(
        default=False,
        description="Allows an SQLite ledger for real targets: true says that all promotions run "
        "on this machine.",
        examples=[True],
    )


class GateCommandTable(Table):
    """A program of your own that says whether a plan may run. It is run where `liftlock.toml` stands."""

    run: ArgumentTemplates = Field(
        description="The program and its arguments; it exits with 0 when the plan may run. "
        "`{env}` is the target environment.",
        examples=[["./may-promote", "{env}"]],
    )
    env: Variables = Field(
        default=[],
        description="The only environment variables that it is given, by name; their values never appear "
        "in output. Besides these it is told `LIFTLOCK_PLAN`, `LIFTLOCK_SOURCE` and `LIFTLOCK_TARGET`.",
        examples=[["PAGER_TOKEN"]],
    )
    timeout: Duration = Field(
        default="1m", description="After this long it is stopped, and the gate refuses.", examples=["1m"]
    )


class GatesTable(Table):
    """What must hold before a plan may change the environment."""

    approvals: int = Field(
        default=0,
        ge=0,
        description="How many people other than the requester must approve the plan.",
        examples=[1],
    )
    soak: Duration = Field(
        default="0s", description="How long a release must have been healthy in the source.", examples=["2h"]
    )
    window: Window = Field(
        default="",
        description="When the environment may be changed: days, hours and a time zone; "
        "`;` separates several windows.",
        examples=["Mon-Thu 09:00-16:00 America/Santiago"],
    )
    freeze: list[Freeze] = Field(
        default=[],
        description="When it may not be changed: the first and the last day, both included, or moments, "
        "and a time zone.",
        examples=[["2026-12-20 .. 2027-01-04 America/Santiago"]],
    )
    checks: Checks = Field(
        default=False,
        description="The checks that must be green on the commit of every release, by name; "
        "`true` for all that there are, of which there must be one.",
        examples=[["ci/test", "lint"], True],
    )
    source_healthy: bool = Field(
        default=False,
        description="Whether the source must run what is recorded there, and be healthy.",
        examples=[True],
    )
    backup_age: Duration = Field(
        default="0s",
        description="How old the newest complete backup of each app with `backup = true` may be.",
        examples=["1d"],
    )
    command: GateCommandTable | None = Field(
        default=None,
        description="A program of your own that has to exit with 0.",
        examples=[{"run": ["./may-promote", "{env}"]}],
    )


class EnvironmentTable(Table):
    """A level. The first one without `from` is where `deploy` releases."""

    promotes_from: list[str] = Field(
        default=[],
        alias="from",
        description="The environments that may be promoted to this one.",
        examples=[["dev"], ["staging", "dev"]],
    )
    github: Filled = Field(
        default="",
        description="What the records on GitHub call it; its own name when left out.",
        examples=["development"],
    )
    firebase: Filled = Field(
        default="",
        description="What `{env}` stands for in Firebase sites; its own name when left out.",
        examples=["stage"],
    )
    docker: DockerHost = Field(
        default="",
        description="The Docker engine that manages its swarm: `unix:///PATH`, `ssh://USER@HOST`, or "
        "`tcp://HOST:2376` with TLS. When left out: as docker itself, `DOCKER_HOST` or this machine's.",
        examples=["ssh://deploy@swarm.example.com", "unix:///var/run/docker.sock"],
    )
    gates: GatesTable = Field(
        default_factory=GatesTable, description="What must hold before a plan may change it."
    )
    confirm: bool = Field(
        default=False,
        description="Whether the environment's name must be typed before the server changes it.",
        examples=[True],
    )
    roles: RolesTable = Field(
        default_factory=lambda: RolesTable(), description="Who may do what with it through the server."
    )


class ProcessTable(Table):
    """Where a process type's image comes from: exactly one of `image`, `dockerfile`, `archive`, `layout`
    and `directory`.
    """

    image: Image = Field(
        default="",
        description="An image in the local Docker engine.",
        examples=["noirlab/lucuma-sso-service"],
    )
    dockerfile: RelativePath = Field(
        default="", description="A Dockerfile to build.", examples=["obscalc/Dockerfile"]
    )
    archive: RelativePath = Field(
        default="",
        description="A tar file with one image, as `docker image save` and OCI tools write it; "
        "no Docker is needed.",
        examples=["build/image.tar"],
    )
    layout: RelativePath = Field(
        default="",
        description="A directory with one image, by the OCI image layout; no Docker is needed.",
        examples=["build/image"],
    )
    directory: RelativePath = Field(
        default="",
        description="A plain directory; the same files always make the same image, without Docker.",
        examples=["services/sso"],
    )
    build: BuildCommand = Field(
        default="",
        description="A command that makes the image, the archive or whatever else is needed, run in the "
        "repository's root before; once for all process types that name the same one. It is split as a "
        "shell would, and no shell runs it.",
        examples=["sbt Docker/publishLocal"],
    )
    context: RelativePath = Field(
        default="",
        description="With `dockerfile`: the folder that it copies from; the repository's root when left out.",
        examples=["obscalc"],
    )
    target: Filled = Field(
        default="", description="With `dockerfile`: the stage to build.", examples=["production"]
    )
    args: dict[VariableName, str] = Field(
        default={},
        description="With `dockerfile`: its build arguments. They can be read from the image: never secrets.",
        examples=[{"JAVA_VERSION": "21"}],
    )
    platform: BuildPlatform = Field(
        default="",
        description="With `dockerfile`: what to build for; `linux/amd64` when left out, which is what Heroku runs.",
        examples=["linux/amd64"],
    )
    secrets: dict[MountId, BuildSecret] = Field(
        default={},
        description="With `dockerfile`: what its `RUN --mount=type=secret,id=…` get, as `env:NAME`. "
        "They are mounted, and no part of the image or of a command line.",
        examples=[{"npm": "env:NPM_TOKEN"}],
    )
    command: Arguments = Field(
        default=[],
        description="With `directory`: what the image runs, as a list of program and arguments.",
        examples=[["python3", "app.py", "web"]],
    )
    service: ServiceName = Field(
        default="",
        description="On a swarm: what the Compose file calls its service; the process type's own name when "
        "left out. Several apps may share a stack.",
        examples=["sso"],
    )


class RecordTable(Table):
    """How the ledger names the app's records, where they differ from what liftlock would write."""

    task: Task = Field(
        default="", description="The records' task; `deploy:APP` when left out.", examples=["deploy"]
    )
    environment: Template = Field(
        default="",
        description="The records' environment, a template; the environment's `github` name when left out.",
        examples=["resource-ui-{env}"],
    )


class CommandTable(Table):
    """An app that is a command, run in a temporary checkout of the recorded commit."""

    status: ArgumentTemplates = Field(
        description="Tells whether there is work: exits 0 for nothing to do, 10 for work; "
        "anything else is an error.",
        examples=[["./migrate", "status", "{env}"]],
    )
    apply: ArgumentTemplates = Field(description="Does the work.", examples=[["./migrate", "apply", "{env}"]])
    undo: ArgumentTemplates = Field(
        default=[],
        description="Takes the work back. Without it the app counts as not undoable.",
        examples=[["./migrate", "undo", "{env}"]],
    )
    env: Variables = Field(
        default=[],
        description="The only environment variables that the commands are given, by name; their values never "
        "appear in output.",
        examples=[["MIGRATE_KEY"]],
    )
    timeout: Duration = Field(
        default="10m", description="After this long a command is stopped.", examples=["10m"]
    )


class BackupTable(Table):
    """A PostgreSQL database that the app's platform does not know of, and a folder for its backups."""

    url: Secrets = Field(
        description="Where the database's address is to be read, in each environment: "
        "`env:NAME` or `keyring:NAME`, a template or a table by environment. The address itself is a secret.",
        examples=["env:DATABASE_URL_{env}", {"dev": "env:DEV_DATABASE", "production": "keyring:database"}],
    )
    folder: Template = Field(
        description="Where its backups are kept, a template; a relative path begins where this file is. "
        "It must be the same for everybody who promotes.",
        examples=["backups", "/var/backups/shop/{env}"],
    )


def _backup(value: Any) -> bool | BackupTable:
    if isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return BackupTable.model_validate(value)  # its mistakes are told with the place that they have here
    kind = (
        "a number" if isinstance(value, (int, float)) else "a string" if isinstance(value, str) else "a list"
    )
    raise values.Mistake(
        f"must be true or false, or a table, not {kind}.",
        'Write true, or { url = "env:DATABASE_URL_{env}", folder = "backups" }.',
    )


class AppTable(Table):
    """A unit that is released as one, on exactly one platform: `heroku`, `firebase`, `directory`, `command` or
    `swarm`.
    """

    heroku: Names = Field(
        default="",
        description="The app's name on Heroku: a template, or a table by environment.",
        examples=["itc-{env}"],
    )
    firebase: Names = Field(
        default="",
        description="The Firebase Hosting site. Here `{env}` is the name that the environment "
        "gives as `firebase`.",
        examples=["explore-gemini-{env}", {"dev": "explore-1", "production": "explore"}],
    )
    swarm: Names = Field(
        default="",
        description="The stack on a Docker Swarm that the app's services belong to: a template, or a table by "
        "environment.",
        examples=["observatory-{env}"],
    )
    compose: RelativePath = Field(
        default="",
        description="On a swarm: the Compose file that describes the stack, beside this file or below. Services that "
        "the swarm does not have yet are made from it; those that it has are left as they are.",
        examples=["deploy/compose.yml"],
    )
    directory: Names = Field(
        default="",
        description="The directory of a site that a web server of your own serves: a template, or a table by "
        "environment. It has to be there, on the machine that promotes; a relative path begins where this file is. "
        "What is served is its `current`.",
        examples=["/srv/www/{env}/explore"],
    )
    public: RelativePath = Field(
        default="public",
        description="With `directory`: the folder with the site's files, inside `folder`.",
        examples=["dist"],
    )
    url: Addresses = Field(
        default="",
        description="With `directory`: where the site is served, for people and for `health`.",
        examples=["https://explore-{env}.example.com"],
    )
    keep: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="With `directory`: how many versions that were served before are kept.",
        examples=[20],
    )
    command: CommandTable | None = Field(
        default=None,
        description="The commands of an app that is no process and no site.",
        examples=[{"status": ["./migrate", "status", "{env}"], "apply": ["./migrate", "apply", "{env}"]}],
    )
    repository: Repository = Field(
        default="",
        description="The app's GitHub repository; the project's when left out.",
        examples=["example/explore"],
    )
    after: list[str] = Field(
        default=[], description="The apps that are released before this one.", examples=[["SSO", "ITC"]]
    )
    backup: Annotated[bool | BackupTable, WrapValidator(lambda value, _: _backup(value))] = Field(
        default=False,
        description="Whether its databases are backed up before anything is released: those that its platform "
        "knows of, or one that is named by its address.",
        examples=[True, {"url": "env:DATABASE_URL_{env}", "folder": "backups"}],
    )
    health: HealthPath = Field(
        default="", description="A path that answers 2xx when the app is healthy.", examples=["/health"]
    )
    undo: Literal["safe", "never"] | None = Field(
        default=None,
        description="Whether a release can be taken back: `safe` says that migrations are backward "
        "compatible. "
        "When left out: `never` for an app with a `release` process type and for a command without `undo`, "
        "else `safe`.",
        examples=["safe"],
    )
    processes: dict[ProcessType, ProcessTable] = Field(
        default={},
        description="The process types of a containers app, by name; `release` runs before each release.",
        examples=[{"web": {"image": "noirlab/lucuma-sso-service"}}],
    )
    paths: Annotated[list[PathPattern], Field(min_length=1)] | None = Field(
        default=None,
        description="What in the repository the app is made from, as patterns; `**` crosses folders. A deploy "
        "whose commit changed none of it keeps the app's artifacts. When left out: everything.",
        examples=[["odb/**", "build.sbt"]],
    )
    migrations: Annotated[list[PathPattern], Field(min_length=1)] | None = Field(
        default=None,
        description="Where in the repository its database migrations are, as patterns like those of `paths`: "
        "`liftlock diff` names the ones that changed.",
        examples=[["odb/migrations/*.sql"]],
    )
    record: RecordTable = Field(
        default_factory=RecordTable,
        description="The names of its records, where a team has its own.",
        examples=[{"task": "deploy", "environment": "resource-ui-{env}"}],
    )
    registry: Registries = Field(
        default="",
        description="The app's own place in a registry, where it is not the project's.",
        examples=["ghcr.io/example/search"],
    )
    folder: RelativePath = Field(
        default=".",
        description="The app's part of its repository: where a site's `firebase.json` or `public` stands, "
        "or where a command runs.",
        examples=["explore"],
    )
    options: dict[str, Any] = Field(
        default={},
        description="What only an added platform understands; it checks them itself. In their texts, "
        "`{env}` stands for the environment.",
        examples=[{"replicas": 2, "folder": "/srv/{env}"}],
    )


class SlackTable(Table):
    """An incoming webhook of Slack."""

    webhook: Secret = Field(
        description="Where the webhook's address is to be read: `env:NAME` or `keyring:NAME`. "
        "The address itself is a secret.",
        examples=["env:SLACK_WEBHOOK_URL"],
    )


class NotifyTable(Table):
    """Who is told how a promotion ended."""

    slack: SlackTable | None = Field(
        default=None,
        description="Posts one message per promotion.",
        examples=[{"webhook": "env:SLACK_WEBHOOK_URL"}],
    )


class EndpointsTable(Table):
    """The vendors' base addresses, for proxies, GitHub Enterprise and the sandbox.

    The environment variables win over them.
    """

    github: Endpoint = Field(
        default="", description="GitHub's REST API.", examples=["https://api.github.com"]
    )
    heroku: Endpoint = Field(
        default="", description="Heroku's Platform API.", examples=["https://api.heroku.com"]
    )
    heroku_data: Endpoint = Field(
        default="", description="Heroku's data API.", examples=["https://api.data.heroku.com"]
    )
    heroku_registry: Endpoint = Field(
        default="", description="Heroku's container registry.", examples=["https://registry.heroku.com"]
    )
    firebase: Endpoint = Field(
        default="", description="Firebase Hosting's API.", examples=["https://firebasehosting.googleapis.com"]
    )


class File(Table):
    """The configuration of a liftlock project."""

    model_config = ConfigDict(title="liftlock.toml")

    project: ProjectTable = Field(description="The project as a whole.")
    environments: dict[Name, EnvironmentTable] = Field(
        description="The levels, by name.",
        min_length=1,
        examples=[{"dev": {}, "production": {"from": ["dev"]}}],
    )
    apps: dict[Name, AppTable] = Field(
        description="The applications, by name.",
        min_length=1,
        examples=[{"web": {"heroku": "example-{env}"}}],
    )
    notify: NotifyTable = Field(default_factory=NotifyTable, description="Who is told how a promotion ended.")
    endpoints: EndpointsTable = Field(
        default_factory=EndpointsTable, description="The vendors' base addresses."
    )
    serve: ServeTable = Field(
        default_factory=ServeTable, description="How the server is reached, and by whom."
    )


SECTIONS: dict[tuple[str, ...], type[Table]] = {
    ("project",): ProjectTable,
    ("environments", "NAME"): EnvironmentTable,
    ("environments", "NAME", "gates"): GatesTable,
    ("environments", "NAME", "gates", "command"): GateCommandTable,
    ("environments", "NAME", "roles"): RolesTable,
    ("apps", "NAME"): AppTable,
    ("apps", "NAME", "processes", "TYPE"): ProcessTable,
    ("apps", "NAME", "record"): RecordTable,
    ("apps", "NAME", "backup"): BackupTable,
    ("apps", "NAME", "command"): CommandTable,
    ("notify",): NotifyTable,
    ("notify", "slack"): SlackTable,
    ("endpoints",): EndpointsTable,
    ("serve",): ServeTable,
    ("serve", "sign_in"): SignInTable,
    ("serve", "sign_in", "github"): GitHubTable,
    ("serve", "sign_in", "oidc"): OpenIdTable,
}
"""Every table of the file by its place; a part in capitals stands for any name."""


def keys_of(table: type[BaseModel]) -> list[str]:
    """A table's keys as the file spells them."""
    return [field.alias or name for name, field in table.model_fields.items()]


@cache
def file_model(added_platforms: frozenset[str]) -> type[File]:
    """The file's shape where other packages add platforms: each is a key of an app."""
    if not added_platforms:
        return File
    added: dict[str, Any] = {
        platform: (Names, Field("", description=f"Where the app lives on the platform {platform}."))
        for platform in sorted(added_platforms)
    }
    app = create_model("AppTable", __base__=AppTable, __doc__=AppTable.__doc__, **added)
    apps: Any = (dict[Name, app], File.model_fields["apps"])  # type: ignore[valid-type]
    return create_model("File", __base__=File, __doc__=File.__doc__, apps=apps)


def keys_at(place: Collection[str], added_platforms: Collection[str] = ()) -> list[str]:
    """The keys that a table at this place may have; none when the place is no table of ours."""
    if not place:
        return keys_of(File)
    for pattern, table in SECTIONS.items():
        if len(pattern) == len(place) and all(
            part.isupper() or part == actual for part, actual in zip(pattern, place, strict=True)
        ):
            return [*keys_of(table), *(sorted(added_platforms) if table is AppTable else ())]
    return []
