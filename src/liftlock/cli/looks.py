"""What commands look at: with this machine's own adapters, or through a server. The views cannot tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from liftlock.cli.output import Output
from liftlock.cli.session import Common, opened
from liftlock.model import Approval, Deployment, Holding, Project
from liftlock.ports import Adapters

if TYPE_CHECKING:
    from liftlock.cli.server import Server
    from liftlock.commands.backups import Listed
    from liftlock.commands.history import Account, Found
    from liftlock.commands.status import Status
    from liftlock.documents.diff import Addresses
    from liftlock.planning.comparison import Comparison
    from liftlock.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class HistoryAsked:
    """Which part of the history, as it was typed."""

    environment: str
    app: str
    by: str
    since: str
    until: str
    limit: int


class Looks(Protocol):
    """What can be looked at. Each raises as the use case of that name does."""

    project: Project
    endpoint_notes: dict[str, list[str]]

    def now(self) -> datetime: ...
    async def status(self, environments: Sequence[str]) -> Status: ...
    async def plan(self, source: str, target: str, apps: Sequence[str], *, accept_drift: bool) -> Plan: ...
    async def history(self, asked: HistoryAsked) -> Found: ...
    async def account(self, id_: str) -> Account | Deployment: ...
    async def diff(self, source: str, target: str, apps: Sequence[str]) -> tuple[Comparison, Addresses]: ...
    async def backups(self, environment: str, apps: Sequence[str]) -> Sequence[Listed]: ...
    async def lease(self, environment: str) -> Holding | None: ...
    async def break_lease(self, environment: str, reason: str) -> Holding: ...
    async def approve(self, digest: str, environment: str, lasts_s: float) -> tuple[str, Approval]: ...


@asynccontextmanager
async def looking(common: Common, output: Output) -> AsyncIterator[Looks]:
    """The looks of this machine, or of the server that was named."""
    if url := common.server_url():
        from liftlock.cli.server import asked

        async with asked(url) as server:
            project, notes = await server.value("project")
            yield There(server, project, {key: list(each) for key, each in notes.items()})
        return
    from liftlock.wiring import endpoint_notes

    project = common.project()
    async with opened(project, output) as adapters:
        yield Here(project, endpoint_notes(project), adapters)


@dataclass
class Here:
    """This machine's own adapters."""

    project: Project
    endpoint_notes: dict[str, list[str]]
    adapters: Adapters

    def now(self) -> datetime:
        return self.adapters.clock.now()

    async def status(self, environments: Sequence[str]) -> Status:
        from liftlock.commands.status import look_at

        return await look_at(self.project, self.adapters, environments)

    async def plan(self, source: str, target: str, apps: Sequence[str], *, accept_drift: bool) -> Plan:
        from liftlock.commands.promote import Conditions, plan_promotion

        conditions = Conditions(accept_drift=accept_drift)
        return await plan_promotion(self.project, self.adapters, source, target, apps, conditions)

    async def history(self, asked: HistoryAsked) -> Found:
        from liftlock.commands.history import Wanted, moment_of, read_history

        now = self.now()
        wanted = Wanted(
            asked.app,
            asked.by,
            moment_of(asked.since, now, "--since") if asked.since else None,
            moment_of(asked.until, now, "--until", is_end=True) if asked.until else None,
        )
        return await read_history(self.project, self.adapters, asked.environment or None, asked.limit, wanted)

    async def account(self, id_: str) -> Account | Deployment:
        from liftlock.commands.history import account_of

        return await account_of(self.project, self.adapters, id_)

    async def diff(self, source: str, target: str, apps: Sequence[str]) -> tuple[Comparison, Addresses]:
        from liftlock.commands.diff import compare
        from liftlock.documents.diff import Addresses

        found = await compare(self.project, self.adapters, source, target, apps)
        source_code = self.adapters.source_code
        compared = {
            app.range: await source_code.compare_url(*app.range) for group in found.groups for app in group
        }
        return found, Addresses(source_code.commit_url, source_code.pull_request_url, compared)

    async def backups(self, environment: str, apps: Sequence[str]) -> Sequence[Listed]:
        from liftlock.commands.backups import list_backups

        return [kept.listed for kept in await list_backups(self.project, self.adapters, environment, apps)]

    async def lease(self, environment: str) -> Holding | None:
        from liftlock.commands.lease import show_lease

        return await show_lease(self.project, self.adapters, environment)

    async def break_lease(self, environment: str, reason: str) -> Holding:
        from liftlock.commands.lease import break_lease

        return await break_lease(self.project, self.adapters, environment, reason)

    async def approve(self, digest: str, environment: str, lasts_s: float) -> tuple[str, Approval]:
        from liftlock.commands.approve import approve_plan

        return await approve_plan(self.project, self.adapters, digest, environment, lasts_s)


@dataclass
class There:
    """A server."""

    server: Server
    project: Project
    endpoint_notes: dict[str, list[str]]

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def status(self, environments: Sequence[str]) -> Status:
        only = environments[0] if len(environments) == 1 else ""
        found: Status = await self.server.value("status", environment=only)
        return found

    async def plan(self, source: str, target: str, apps: Sequence[str], *, accept_drift: bool) -> Plan:
        found: Plan = await self.server.value(
            "plan", source=source, target=target, app=tuple(apps), accept_drift=accept_drift
        )
        return found

    async def history(self, asked: HistoryAsked) -> Found:
        found: Found = await self.server.value(
            "history",
            environment=asked.environment,
            app=asked.app,
            by=asked.by,
            since=asked.since,
            until=asked.until,
            limit=asked.limit,
        )
        return found

    async def account(self, id_: str) -> Account | Deployment:
        found: Account | Deployment = await self.server.value("promotions", id_)
        return found

    async def diff(self, source: str, target: str, apps: Sequence[str]) -> tuple[Comparison, Addresses]:
        from liftlock.commands.names import check_names
        from liftlock.documents.diff import Addresses

        check_names(self.project, (source, target), apps)
        found, pages = await self.server.value("diff", source=source, target=target)
        only = [app for app in found.apps if not apps or app.app in apps]
        addresses = Addresses(
            lambda repository, sha: pages["commits"].get((repository, sha), ""),
            lambda repository, number: pages["pull_requests"].get((repository, number), ""),
            pages["compared"],
        )
        return replace(found, apps=tuple(only)), addresses

    async def backups(self, environment: str, apps: Sequence[str]) -> Sequence[Listed]:
        from liftlock.commands.names import check_names

        check_names(self.project, (environment,), apps)
        found: Sequence[Listed] = await self.server.value("environments", environment, "backups")
        return [one for one in found if not apps or {*one.apps} & {*apps}]

    async def lease(self, environment: str) -> Holding | None:
        found: tuple[Holding | None] = await self.server.value("environments", environment, "lease")
        return found[0]

    async def break_lease(self, environment: str, reason: str) -> Holding:
        found: Holding = await self.server.change(
            "DELETE", "environments", environment, "lease", body={"reason": reason}
        )
        return found

    async def approve(self, digest: str, environment: str, lasts_s: float) -> tuple[str, Approval]:
        from liftlock.commands.approve import only_one_that_asks, whole_digest

        where = environment or only_one_that_asks(self.project)
        body = {"environment": where, "plan": whole_digest(digest), "expires_in": f"{int(lasts_s)}s"}
        found: tuple[str, Approval] = await self.server.change("POST", "approvals", body=body)
        return found
