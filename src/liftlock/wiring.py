"""Puts a project's adapters together: the only place that knows every one of them.

Only what the project uses is imported and built, and a credential is looked for at the first
request that needs one, so that a command which talks to one vendor needs one credential.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from liftlock.config.endpoints import ENDPOINTS
from liftlock.credentials import Credentials
from liftlock.errors import UsageError
from liftlock.http import Http, Pace, safe_address
from liftlock.http.addresses import is_loopback
from liftlock.http.client import CONCURRENCY
from liftlock.model import Project
from liftlock.plugins import Context, Shared, has, load
from liftlock.ports import (
    Adapters,
    Clock,
    DatabaseService,
    Images,
    Leases,
    Ledger,
    Notifier,
    Platform,
    Scratch,
    WaitNotice,
)

if TYPE_CHECKING:
    import httpx2

    from liftlock.accounts import Accounts, HerokuApp, RecordSeen
    from liftlock.probes import Probe
    from liftlock.registry.connection import Registry
    from liftlock.registry.distribution import Distribution

ENDPOINTS_OF = {
    "heroku": ("heroku", "heroku_data", "heroku_registry"),
    "firebase": ("firebase",),
    "directory": (),
    "command": (),
    "swarm": (),  # an engine is no endpoint: how it is reached says nothing of whose it is
}
"""By platform: the endpoints that its apps are reached by."""

_HEROKU = {"accept": "application/vnd.heroku+json; version=3"}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "github": {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    "heroku": _HEROKU,
    "heroku_data": _HEROKU,
    "firebase": {"accept": "application/json"},
}
AT_ONCE = {"github": 96, "heroku": 128}
"""How many requests a vendor is sent at once, where that is not the client's own number.

GitHub allows an account 100, in "Rate limits for the REST API"; Heroku names no limit but the hourly
one. Looking at 64 apps in 3 environments takes 192 statuses there and 384 requests here.
"""
TRUSTED = {"firebase": ("https://upload-firebasehosting.googleapis.com",)}
"""Further hosts of a vendor that take its credential. Source: firebase-tools, `src/deploy/hosting`."""


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boottime(self) -> float:
        # Only Linux has a clock that counts suspend; elsewhere the lease's own margin has to do.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@asynccontextmanager
async def open_project(
    project: Project,
    *,
    clock: Clock | None = None,
    on_wait: WaitNotice | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx2.AsyncBaseTransport | None = None,
    concurrency: int | None = None,
    acting_for: str = "",
) -> AsyncIterator[Adapters]:
    """The adapters that `project` uses; every connection is closed on leaving.

    `transport` carries every request instead of the network (simulations). `concurrency` is how many
    requests each vendor is sent at once, instead of `AT_ONCE`. `acting_for` is the account of the person for whom a server acts.
    Raises `UsageError` when the endpoints do not fit together or an adapter is unknown or broken.
    """
    check_endpoints(project)
    clock = clock or SystemClock()
    clients = _Clients(project, Credentials(environ), clock, on_wait, transport, concurrency)
    try:
        yield _adapters(project, clients, clock, environ, acting_for)
    finally:
        with anyio.CancelScope(shield=True):
            await clients.aclose()


@asynccontextmanager
async def open_context(
    project: Project,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncIterator[Context]:
    """What the adapters of `project` are given, without any of them: for the tests of one alone.

    Arguments as for `open_project`.
    """
    clock = clock or SystemClock()
    clients = _Clients(project, Credentials(environ), clock, None, transport)
    try:
        yield _context(project, clients, clock, environ)
    finally:
        with anyio.CancelScope(shield=True):
            await clients.aclose()


@asynccontextmanager
async def scratch_database(into: str = "", environ: Mapping[str, str] = os.environ) -> AsyncIterator[Scratch]:
    """An empty PostgreSQL database that is gone on leaving: on the embedded server, or on that of `into`.

    `into` is "env:NAME", "keyring:NAME" or an address, which must not hold a password: everybody on
    the machine can read the arguments of its processes. Raises `UsageError`.
    """
    from liftlock.databases.scratch import open_scratch
    from liftlock.postgresql.address import read_address

    address = None
    if into.startswith(("env:", "keyring:")):
        address = read_address(Credentials(environ).secret(into), into)
    elif into:
        address = read_address(into, "--into")
        if address.password:
            raise UsageError(
                "--into holds a password, and everybody on this machine can read it there.",
                hint="Write --into env:NAME, or leave the password to PGPASSWORD or ~/.pgpass. Change this one.",
            )
    async with open_scratch(environ, address) as scratch:
        yield scratch


async def github_file(repository: str, ref: str, path: str, environ: Mapping[str, str]) -> str:
    """A file of a repository at GitHub, before there is a project: the variable alone says where GitHub is.

    Raises `NotFound`.
    """
    from liftlock.source_code import GitHubCommits

    variable, default = ENDPOINTS["github"]
    base = environ.get(variable) or default
    credentials = Credentials(environ)
    http = Http(
        "github",
        base.rstrip("/"),
        authorization=credentials.authorization("github", base),
        headers=HEADERS["github"],
        secrets=credentials.secrets,
    )
    try:
        return await GitHubCommits(lambda: http).file(repository, ref, path)
    finally:
        await http.aclose()


@asynccontextmanager
async def open_probes(
    project: Project,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> AsyncIterator[Sequence[Probe]]:
    """What `doctor` tries: this machine, GitHub, and whatever the project's adapters say of themselves.

    Raises as `open_project`.
    """
    from liftlock.commands.doctor_github import github_probes
    from liftlock.commands.doctor_machine import machine_probes
    from liftlock.probes import Probed

    check_endpoints(project)
    clock = SystemClock()
    clients = _Clients(project, Credentials(environ), clock, None, transport)
    try:
        made = _adapters(project, clients, clock, environ)
        found = [
            *machine_probes(project, environ),
            *github_probes(project, lambda: clients.http("github"), clock.now),
        ]
        for adapter in (
            *made.platforms.values(),
            *made.databases.values(),
            made.ledger,
            made.leases,
            *made.notifiers,
        ):
            found += adapter.probes() if isinstance(adapter, Probed) else ()
        yield found
    finally:
        with anyio.CancelScope(shield=True):
            await clients.aclose()


@asynccontextmanager
async def open_accounts(
    environ: Mapping[str, str] = os.environ, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Accounts]:
    """The vendors' accounts before there is a project: the variables alone say where they are."""
    endpoints = {key: environ.get(variable) or default for key, (variable, default) in ENDPOINTS.items()}
    project = Project("init", "", "github", 0.0, {}, {}, endpoints)
    clients = _Clients(project, Credentials(environ), SystemClock(), None, transport)
    try:
        yield _Accounts(clients)
    finally:
        with anyio.CancelScope(shield=True):
            await clients.aclose()


def endpoint_notes(project: Project) -> dict[str, list[str]]:
    """By address, the keys of every endpoint of the project that is not the vendor's own."""
    notes: dict[str, list[str]] = {}
    for key, address in sorted(project.endpoints.items()):
        if address.rstrip("/") != ENDPOINTS.get(key, ("", ""))[1]:
            notes.setdefault(safe_address(address), []).append(key)
    return notes


def check_endpoints(project: Project) -> None:
    """Raises `UsageError` when loopback and public endpoints are mixed, or the ledger does not fit them."""
    used = _used_endpoints(project)
    near = {key: address for key, address in used.items() if is_loopback(address)}
    far = {key: address for key, address in used.items() if key not in near}
    if near and far:
        (one, here), (other, there) = next(iter(near.items())), next(iter(far.items()))
        variable = ENDPOINTS.get(other, ("",))[0]
        raise UsageError(
            f"Endpoints on this machine and public ones are mixed: {one} is {safe_address(here)}, "
            f"and {other} is {safe_address(there)}.",
            hint=f"Set {variable or other} as well, or unset the others: a sandbox and a real vendor "
            "must never be promoted into each other.",
        )
    if near:
        _check_registries(project)
    if near and project.ledger.startswith("postgresql:"):
        from liftlock.postgresql.database import address_of, is_remote

        if is_remote(ledger := address_of(project)):
            raise UsageError(
                f"What runs in a sandbox would be recorded in a ledger of another machine, {ledger.server}.",
                hint='Use a ledger on this machine: ledger = "sqlite:///liftlock.db", or a database on loopback.',
            )
    targets = {key: address for key, address in far.items() if key != "github"}
    targets |= _far_engines(project)
    foreign = sorted({app.platform for app in project.apps.values()} - ENDPOINTS_OF.keys())
    if project.ledger.startswith("sqlite:") and (targets or foreign) and not project.single_machine:
        where = safe_address(next(iter(targets.values()), "")) or f"the platform {foreign[0]}"
        raise UsageError(
            f"An SQLite ledger is known to this machine alone, and {where} is open to others: "
            "two people could promote at once.",
            hint='Use ledger = "github", or, if only this machine promotes, [project] single_machine = true.',
        )


def _far_engines(project: Project) -> dict[str, str]:
    """The Docker engines on other machines, by address."""
    named = {target.options.get("docker", "") for target in project.targets_on("swarm")}
    far = (each for each in named if each and not each.startswith("unix:") and not is_loopback(each))
    return {each: each for each in sorted(far)}


def _check_registries(project: Project) -> None:
    """Raises `UsageError` when a sandbox's images would go to a public registry. The other way about is
    how teams work: a registry of their own on the machine, or at the end of a tunnel."""
    for app in project.apps.values():
        for target in app.targets.values():
            host = target.registry.partition("/")[0]
            if host and not is_loopback(f"//{host}"):
                raise UsageError(
                    f"The vendors are a sandbox on this machine, and the images of {app.name} in "
                    f"{target.environment} would go to {host}.",
                    hint="Name a registry on this machine as `registry`, or unset the endpoints' variables.",
                )


def is_on_loopback(project: Project) -> bool:
    """Whether everything that the project talks to is on this machine: a sandbox."""
    return all(is_loopback(address) for address in _used_endpoints(project).values())


def _used_endpoints(project: Project) -> dict[str, str]:
    """The endpoints of the project's apps, commits and archive, and those of plugins."""
    keys = {key for app in project.apps.values() for key in ENDPOINTS_OF.get(app.platform, ())}
    keys.add("github")  # whatever the ledger is, GitHub is asked what a commit says
    keys |= {key for key in project.endpoints if key not in ENDPOINTS}
    used = {key: _address(project, key) for key in sorted(keys)}
    if project.archive:
        host = project.archive.partition("/")[0]
        used["archive"] = registry_base(host)
    return used


def _address(project: Project, key: str) -> str:
    address = project.endpoints.get(key) or ENDPOINTS.get(key, ("", ""))[1]
    if not address:
        known = ", ".join(sorted({*ENDPOINTS, *project.endpoints}))
        raise UsageError(f"There is no endpoint {key!r}.", hint=f"Known are: {known}.")
    return address.rstrip("/")


def registry_base(host: str) -> str:
    """The address of a registry by the host that its repositories begin with."""
    return f"{'http' if is_loopback(f'//{host}') else 'https'}://{host}"


def _context(
    project: Project, clients: _Clients, clock: Clock, environ: Mapping[str, str], acting_for: str = ""
) -> Context:
    from liftlock.source_code import Commits, GitHubCommits, LocalGit

    return Context(
        project=project,
        http=clients.http,
        images=clients.images,
        source_code=Commits(LocalGit(Path(project.root)), GitHubCommits(lambda: clients.http("github"))),
        clock=clock,
        environ=environ,
        secret=clients.credentials.secret,
        plain_http=clients.plain_http,
        docker=clients.docker,
        registry_login=clients.registry_login,
        acting_for=acting_for,
        shared=clients.shared,
    )


def _adapters(
    project: Project, clients: _Clients, clock: Clock, environ: Mapping[str, str], acting_for: str = ""
) -> Adapters:
    from liftlock.workflow_run import GitHubRun, run_of

    context = _context(project, clients, clock, environ, acting_for)
    platforms: dict[str, Platform] = {}
    databases: dict[str, DatabaseService] = {}
    for name in sorted({app.platform for app in project.apps.values()}):
        platforms[name] = load("platforms", name).build(context)
        if has("databases", name):
            databases[name] = load("databases", name).build(context)
    for name in sorted({app.databases for app in project.apps.values()} - databases.keys() - {""}):
        databases[name] = load("databases", name).build(context)
    records = _ledger_name(project.ledger)
    ledger: Ledger = load("ledgers", records).build(context)
    leases: Leases = load("leases", records).build(context)
    notifiers: list[Notifier] = [load("notifiers", name).build(context) for name in sorted(project.notify)]
    workflow = None
    if place := run_of(environ):
        workflow = GitHubRun(lambda: clients.http("github"), *place)
    return Adapters(
        platforms=platforms,
        ledger=ledger,
        databases=databases,
        notifiers=notifiers,
        source_code=context.source_code,
        clock=clock,
        leases=leases,
        workflow=workflow,
        acting_for=acting_for,
    )


def _ledger_name(ledger: str) -> str:
    """The entry point's name: the address's scheme, without a driver ("sqlite" of "sqlite:///…")."""
    return ledger.partition(":")[0].partition("+")[0]


@dataclass(frozen=True, slots=True)
class _Accounts:
    """`accounts.Accounts`: each vendor's own reader, with its client."""

    clients: _Clients

    async def repository(self, checkout: Path) -> str:
        from liftlock.source_code import LocalGit

        return await LocalGit(checkout).repository()

    async def heroku_apps(self) -> Sequence[HerokuApp]:
        from liftlock.platforms.heroku.account import read_apps

        return await read_apps(self.clients.http("heroku"))

    async def heroku_processes(self, app: str) -> Sequence[str]:
        from liftlock.platforms.heroku.account import read_processes

        return await read_processes(self.clients.http("heroku"), app)

    async def sites(self, project: str) -> Sequence[str]:
        from liftlock.platforms.firebase.account import read_sites

        return await read_sites(self.clients.http("firebase"), project)

    async def records(self, repository: str) -> Sequence[RecordSeen]:
        from liftlock.ledgers.github_names import read_names

        return await read_names(self.clients.http("github"), repository)


@dataclass(slots=True)
class _Clients:
    """The HTTP clients of one project, made when they are first asked for."""

    project: Project
    credentials: Credentials
    clock: Clock
    on_wait: WaitNotice | None
    transport: httpx2.AsyncBaseTransport | None
    concurrency: int | None = None
    shared: Shared = field(default_factory=Shared)
    _by_key: dict[tuple[str, str], Http] = field(default_factory=dict)
    _distribution: Distribution | None = None
    _engines: list[httpx2.AsyncBaseTransport] = field(default_factory=list)

    def http(self, key: str) -> Http:
        """The shared client of an endpoint, credentials attached."""
        base = _address(self.project, key)
        return self._client(
            key,
            base,
            "",
            authorization=self.credentials.authorization(key, base),
            headers=HEADERS.get(key, {}),
            trusted=TRUSTED.get(key, ()),
            pace=Pace() if key == "github" else None,
        )

    def plain_http(self, vendor: str, base: str) -> Http:
        """A client without credentials."""
        return self._client(vendor, base, base)

    def images(self) -> Images:
        """Every registry that the project reaches, behind one client."""
        if self._distribution is None:
            from liftlock.registry.distribution import Distribution
            from liftlock.registry.layers import LayerCache, cache_folder
            from liftlock.registry.sources import Sources

            environ = self.credentials.environ
            sources = Sources(LayerCache(cache_folder(environ)), environ)
            self._distribution = Distribution(self._registry, sources)
        return self._distribution

    def docker(self, address: str) -> Http:
        """The client of a Docker engine. The engine itself says who may talk to it: no credential is sent."""
        from liftlock.docker_hosts import docker_host, engine_address, tcp_base

        environ = self.credentials.environ
        address = engine_address(address, environ)
        if self.transport is not None:
            return self._client("docker", tcp_base(address, environ), address)
        if ("docker", address) not in self._by_key:
            host = docker_host(address, environ, Path(environ.get("HOME") or Path.home()))
            self._engines.append(host.transport)
            return self._client("docker", host.base, address, transport=host.transport)
        return self._by_key["docker", address]

    async def registry_login(self, host: str) -> tuple[str, str] | None:
        """User and password for a registry's host; None where there are none."""
        return await self.credentials.registry_login(host, registry_base(host))

    async def aclose(self) -> None:
        for client in self._by_key.values():
            await client.aclose()
        for transport in self._engines:
            await transport.aclose()
        await self.shared.aclose()

    def _registry(self, host: str) -> Registry:
        from liftlock.registry.connection import Registry

        key = "heroku_registry"
        base = _address(self.project, key)
        if urlsplit(base).netloc != host:
            key, base = host, registry_base(host)
        return Registry(
            host,
            self._client(key, base, "registry"),
            lambda: self.credentials.registry_login(key, base),
            self.plain_http,
            schema2_only=key == "heroku_registry",
        )

    def _client(self, vendor: str, base: str, use: str, **options: Any) -> Http:
        """The client for one `use` of a vendor: made once, so that its connections are shared."""
        made = self._by_key.get((vendor, use))
        if made is None:
            given: dict[str, Any] = {"transport": self.transport, **options}
            made = Http(
                vendor,
                base,
                concurrency=self.concurrency or AT_ONCE.get(vendor, CONCURRENCY),
                on_wait=self.on_wait,
                secrets=self.credentials.secrets,
                now=self._now,
                **given,
            )
            self._by_key[vendor, use] = made
        return made

    @property
    def _now(self) -> Callable[[], float]:
        return lambda: self.clock.now().timestamp()
