"""A ledger in memory, for tests and benchmarks: small, public, and held to the same contract."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from liftlock.ledgers.current import is_within, judged, walked_to
from liftlock.model import Approval, Deployment, Intent, Recorded, State, is_by
from liftlock.ports import Clock, EnvironmentRecords, NewDeployment, NewIntent, PromotionRecords, anything

SHOWN = 20
"""How many of an app's newest records are shown beside the newest one."""


class Memory:
    """`ports.Ledger` without a disk or a vendor. Test worlds are made with `put`."""

    name = "memory"
    concurrency = 64

    def __init__(self, clock: Clock, account: str = "memory") -> None:
        self._clock = clock
        self._account = account
        self._records: dict[tuple[str, str], list[Deployment]] = defaultdict(list)
        """By environment and app, oldest first."""
        self._made: dict[tuple[str, str], str] = {}
        self._intents: dict[str, Intent] = {}
        self._keys: dict[str, str] = {}
        self._approvals: dict[tuple[str, str], list[Approval]] = defaultdict(list)
        """By environment and plan, oldest first."""
        self._count = 0

    def put(self, deployment: Deployment) -> None:
        """Add a record as it is: another tool's, say."""
        self._records[deployment.environment, deployment.app].append(deployment)

    def put_approval(self, environment: str, plan_digest: str, approval: Approval) -> None:
        """Add somebody's approval."""
        self._approvals[environment, plan_digest].append(approval)

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        return _MemoryRecords(self, environment, apps)

    async def open_intent(self, new: NewIntent) -> Intent:
        if new.key not in self._keys:
            intent = Intent(
                id=self._next_id(),
                kind=new.kind,
                environment=new.environment,
                source=new.source,
                plan_digest=new.plan_digest,
                releases=new.releases,
                created_at=self._clock.now(),
                creator=self._account,
                replaced=new.replaced,
                before=new.before,
                reverts=new.reverts,
                overrides=new.overrides or {},
                undo_on_failure=new.undo_on_failure,
                key=new.key,
            )
            self._intents[intent.id] = intent
            self._keys[new.key] = intent.id
        return self._intents[self._keys[new.key]]

    async def close_intent(self, intent: Intent, state: State, description: str) -> None:
        self._intents[intent.id] = replace(
            self._intents[intent.id], state=state, description=description, finished_at=self._clock.now()
        )

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        records = self._records[new.environment, new.app]
        made = self._made.get((intent.id, new.app))
        if made is None:
            deployment = Deployment(
                id=self._next_id(),
                app=new.app,
                environment=new.environment,
                release=new.release,
                created_at=self._clock.now(),
                creator=self._account,
                promotion=intent.id,
                kind=new.kind,
                source_environment=new.source_environment,
                replaced=new.replaced,
                backups=new.backups,
                steps=new.steps,
                awake=new.awake,
            )
            records.append(deployment)
            made = self._made[intent.id, new.app] = deployment.id
        return next(deployment for deployment in reversed(records) if deployment.id == made)

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        records = self._records[deployment.environment, deployment.app]
        for number, known in enumerate(records):
            if known.id == deployment.id:
                succeeded = known.reached_success or state is State.SUCCESS
                records[number] = replace(known, state=state, reached_success=succeeded)

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
        found = (i for i in reversed(self._intents.values()) if environment in {None, i.environment})
        wanted = (i for i in found if is_within(i, since, until) and is_by(i.creator, by))
        return list(islice(filter(where, wanted), limit))

    async def deployments(
        self,
        environment: str,
        app: str,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Deployment], bool] = anything,
    ) -> Sequence[Deployment]:
        found = _newest_first(self._records[environment, app])
        recent = (d for d in found if since is None or d.created_at >= since)
        return list(islice(filter(where, recent), limit))

    async def intent_of(self, id_: str) -> Intent | None:
        return self._intents.get(id_)

    async def deployment_of(self, id_: str) -> Deployment | None:
        every = (deployment for records in self._records.values() for deployment in records)
        return next((deployment for deployment in every if deployment.id == id_), None)

    async def records_of(self, intent: Intent, apps: Sequence[str]) -> PromotionRecords:
        return await walked_to(self, intent, apps)

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
        found = [d for app in apps for d in self._records[environment, app] if not d.promotion]
        wanted = (d for d in _newest_first(found) if is_within(d, since, until) and is_by(d.creator, by))
        return list(islice(wanted, limit))

    async def account(self) -> str:
        return self._account

    async def approve(self, environment: str, plan_digest: str, expires_at: datetime) -> Approval:
        approval = Approval(self._account, self._clock.now(), expires_at)
        self.put_approval(environment, plan_digest, approval)
        return approval

    async def approvals(self, environment: str, plan_digest: str) -> Sequence[Approval]:
        return self._approvals[environment, plan_digest][::-1]

    def _next_id(self) -> str:
        self._count += 1
        return str(self._count)


class _MemoryRecords:
    def __init__(self, ledger: Memory, environment: str, apps: Sequence[str]) -> None:
        self._ledger = ledger
        self._environment = environment
        self._apps = tuple(apps)
        self._judged: Mapping[str, Recorded] = {}
        self._newest: Mapping[str, Deployment] | None = None

    async def newest(self) -> Mapping[str, Deployment]:
        if self._newest is None:  # as in `recorded`
            found = {app: await self._ledger.deployments(self._environment, app, 1) for app in self._apps}
            self._newest = {app: records[0] for app, records in found.items() if records}
        return self._newest

    async def recorded(self) -> Mapping[str, Recorded]:
        if not self._judged:  # a thousand apps ask, one after the other
            self._judged = {
                app: judged(await self._ledger.deployments(self._environment, app, 1 << 30))
                for app in self._apps
            }
        return self._judged

    async def earlier(self) -> Mapping[str, Sequence[Deployment]]:
        return {app: await self._ledger.deployments(self._environment, app, SHOWN) for app in self._apps}

    async def open_intents(self) -> Sequence[Intent]:
        return [i for i in await self._ledger.intents(self._environment, 1 << 30) if i.is_open]


def _newest_first(records: Sequence[Deployment]) -> list[Deployment]:
    """By time; of the same moment, the one that was added later comes first."""
    return sorted(records, key=lambda deployment: deployment.created_at)[::-1]
