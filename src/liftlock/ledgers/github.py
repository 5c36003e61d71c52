"""The ledger on GitHub Deployments, beside the records of a team's own workflows.

One deployment per promotion (task `liftlock:promotion`, in the project's repository), and one per
app that it put in place, under the names that the team's records have always had. Which record is
*current* is decided by the design's rule: the newest that ever reached success, or has no status.

An intent gets no status when it is opened: one without any reads as open, and a promotion waits
for one answer less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import uuid4

from liftlock.errors import UsageError, VendorRefusal
from liftlock.ledgers.current import is_within, walked_to
from liftlock.ledgers.github_deployments import (
    LOOKS_S,
    PER_PAGE,
    Deployments,
    Entry,
    Find,
    Page,
    Status,
    Walk,
    cut,
)
from liftlock.ledgers.github_entries import whole
from liftlock.ledgers.payload import (
    approval_payload,
    intent_payload,
    read_approval,
    read_intent,
    read_record,
    record_payload,
)
from liftlock.model import VIA, Approval, Deployment, Intent, Project, Recorded, RecordName, State, is_by
from liftlock.plugins import Context, Plugin
from liftlock.ports import Entry as Copied
from liftlock.ports import EnvironmentRecords, Ledger, NewDeployment, NewIntent, PromotionRecords, anything
from liftlock.tasks import Once, together

INTENT_TASK = "liftlock:promotion"
APPROVAL_TASK = "liftlock:approval"
MOST_APPROVALS = 300
"""How many approvals of an environment are looked through for those of a plan: they expire soon."""
NEWEST_INTENTS = 3
"""How many intents of an environment are asked whether they stand open. One stands open at most,
for a promotion begins only where none does; the others are for races that were lost."""
MOST_AT_ONCE = 16
MOST_DIGITS = 18
"""No deployment's number has more."""
MOST_SHOWN = 20
"""How many of an app's entries on a page are read for how long its steps took."""


class GitHubLedger:
    """`ports.Ledger` on GitHub Deployments."""

    name = "github"
    concurrency = 64

    def __init__(self, project: Project, deployments: Deployments) -> None:
        self.project = project
        self.deployments_api = deployments
        self._by_key: dict[str, Intent] = {}
        """Intents that were seen or made, by key: opening one of them again gives it back."""
        self._own: set[str] = set()
        """Ids of intents that this ledger opened itself: nothing of theirs needs to be looked for."""
        self._looked_at: set[str] = set()
        """Environments whose intents were listed; elsewhere a key has to be looked for first."""
        self._recorded: dict[tuple[str, str], Deployment] = {}
        self._tried: set[tuple[str, str]] = set()
        """Records that were tried to be made: one of unknown fate is looked for before it is tried again."""
        self._branches: dict[str, str] = {}

    def read(self, environment: str, apps: Sequence[str]) -> EnvironmentRecords:
        return _GitHubRecords(self, environment, apps)

    async def open_intent(self, new: NewIntent) -> Intent:
        if new.key in self._by_key:
            return self._by_key[new.key]
        repository = self.project.repository
        name = self.github_name(new.environment)

        async def find() -> Entry | None:
            page = await self.deployments_api.page(repository, name, INTENT_TASK)
            return next((e for e in page.entries if read_intent(e.payload).key == new.key), None)

        body = {
            "ref": await self._intent_ref(new),
            "task": INTENT_TASK,
            "environment": name,
            "description": cut(f"liftlock: {new.kind} {new.source} {new.environment}"),
            "payload": intent_payload(new, self.project.name),
        }
        if new.environment not in self._looked_at and (entry := await find()) is not None:
            (intent,) = await self.with_states([entry])
            return intent
        intent = self.intent(await self.deployments_api.create(repository, body, find), ())
        self._by_key[new.key] = intent
        self._own.add(intent.id)
        return intent

    async def close_intent(self, intent: Intent, state: State, description: str) -> None:
        await self.deployments_api.add_status(self.project.repository, int(intent.id), state, description)

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        made = (intent.id, new.app)
        if made not in self._recorded:
            name = self.record_name(new.app, new.environment)

            async def find() -> Entry | None:
                page = await self.deployments_api.page(name.repository, name.environment, name.task)
                return next((e for e in page.entries if _made_by(e, intent, new.app)), None)

            entry = None
            if made in self._tried:
                entry = await self.deployments_api.look(find)
            elif intent.id not in self._own:
                entry = await find()  # somebody else's promotion is being resumed
            if entry is None:
                self._tried.add(made)
                try:
                    entry = await self._create_record(name, new, find)
                except VendorRefusal:
                    self._tried.remove(made)
                    raise
            self._recorded[made] = self.deployment(new.app, new.environment, entry)
        return self._recorded[made]

    async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
        name = self.record_name(deployment.app, deployment.environment)
        await self.deployments_api.add_status(name.repository, int(deployment.id), state, description)

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
        def is_wanted(entry: Entry) -> bool:
            if not self.concerns(entry, environment):
                return False
            intent = self.intent(entry, ())
            return is_within(intent, None, until) and is_by(intent.creator, by) and where(intent)

        name = "" if environment is None else self.github_name(environment)
        walk = self.deployments_api.walk(self.project.repository, name, INTENT_TASK)
        return await self.with_states(await walk.some(limit, since, is_wanted))

    async def deployments(
        self,
        environment: str,
        app: str,
        limit: int,
        *,
        since: datetime | None = None,
        where: Callable[[Deployment], bool] = anything,
    ) -> Sequence[Deployment]:
        name = self.record_name(app, environment)
        walk = self.deployments_api.walk(name.repository, name.environment, name.task)
        found = await walk.some(limit, since, lambda e: where(self.deployment(app, environment, e)))
        return list(await together(*[partial(self.judged, app, environment, entry) for entry in found]))

    async def intent_of(self, id_: str) -> Intent | None:
        entry = await self._entry_of(self.project.repository, id_)
        if entry is None or not self.concerns(entry, None):
            return None
        (intent,) = await self.with_states([entry])
        return intent

    async def deployment_of(self, id_: str) -> Deployment | None:
        places = {
            (name.repository, name.task, name.environment.casefold()): (app.name, environment)
            for app in self.project.apps.values()
            for environment, name in app.records.items()
        }
        repositories = sorted({repository for repository, _, _ in places})
        entries = await together(*[partial(self._entry_of, repository, id_) for repository in repositories])
        for entry in filter(None, entries):
            place = places.get((entry.repository, entry.task, entry.environment.casefold()))
            if place is not None:
                return await self.judged(*place, entry)
        return None

    async def _entry_of(self, repository: str, id_: str) -> Entry | None:
        is_number = id_.isascii() and id_.isdecimal() and len(id_) <= MOST_DIGITS
        return await self.deployments_api.one(repository, int(id_)) if is_number else None

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
        def is_wanted(record: Deployment) -> bool:
            return not record.promotion and is_within(record, None, until) and is_by(record.creator, by)

        look = partial(self.deployments, environment, limit=limit, since=since, where=is_wanted)
        found = await together(*[partial(look, app=app) for app in apps])
        every = [record for records in found for record in records]
        return sorted(every, key=lambda record: record.created_at, reverse=True)[:limit]

    async def account(self) -> str:
        return await self.deployments_api.login()

    async def approve(self, environment: str, plan_digest: str, expires_at: datetime) -> Approval:
        repository, name = self.project.repository, self.github_name(environment)
        payload = approval_payload(uuid4().hex, plan_digest, expires_at)

        async def find() -> Entry | None:
            page = await self.deployments_api.page(repository, name, APPROVAL_TASK)
            return next((e for e in page.entries if read_approval(e.payload) == ours), None)

        ours = read_approval(payload)
        body = {
            "ref": await self._default_branch(repository),
            "task": APPROVAL_TASK,
            "environment": name,
            "description": cut(f"liftlock: approval of plan {plan_digest[:12]} for {environment}"),
            "payload": payload,
        }
        made = await self.deployments_api.create(repository, body, find)
        return Approval(made.creator, made.created_at, expires_at)

    async def approvals(self, environment: str, plan_digest: str) -> Sequence[Approval]:
        """Whoever GitHub says made the deployment gave the approval, whatever its payload claims."""
        walk = self.deployments_api.walk(
            self.project.repository, self.github_name(environment), APPROVAL_TASK
        )
        return [
            Approval(entry.creator, entry.created_at, data.expires_at)
            for entry in await walk.take(MOST_APPROVALS)
            if (data := read_approval(entry.payload)) is not None and data.plan_digest == plan_digest
        ]

    async def entries(self) -> Sequence[Copied]:
        """See `ports.Exporting`."""
        return await whole(self, INTENT_TASK, APPROVAL_TASK)

    # GitHub's entries as liftlock's nouns.

    def deployment(
        self, app: str, environment: str, entry: Entry, statuses: Sequence[Status] = ()
    ) -> Deployment:
        """An entry as an app's record; without its statuses, its state stays open."""
        data = read_record(entry.payload)
        return Deployment(
            id=str(entry.id),
            app=app,
            environment=environment,
            release=data.release(app, entry.sha),
            created_at=entry.created_at,
            creator=_who(data.requested_by, entry),
            state=statuses[0].state if statuses else None,
            reached_success=any(status.state is State.SUCCESS for status in statuses),
            promotion=data.promotion,
            kind=data.kind,
            source_environment=data.source_environment,
            replaced=data.replaced,
            backups=data.backups,
            steps=data.steps,
            awake=data.awake,
            url=entry.url,
        )

    async def judged(self, app: str, environment: str, entry: Entry) -> Deployment:
        """An entry as an app's record, with what its statuses say."""
        return self.deployment(
            app, environment, entry, await self.deployments_api.statuses(entry.repository, entry.id)
        )

    def intent(self, entry: Entry, statuses: Sequence[Status]) -> Intent:
        """An entry as an intent. An `inactive` is another tool's doing and ends nothing."""
        data = read_intent(entry.payload)
        told = next((status for status in statuses if status.state is not State.INACTIVE), None)
        intent = Intent(
            id=str(entry.id),
            kind=data.kind,
            environment=data.environment or self._environment_of(entry),
            source=data.source,
            plan_digest=data.plan_digest,
            releases=data.releases,
            created_at=entry.created_at,
            creator=_who(data.requested_by, entry),
            state=told.state if told else State.IN_PROGRESS,
            description=told.description if told else "",
            replaced=data.replaced,
            before=data.before,
            reverts=data.reverts,
            overrides=data.overrides,
            key=data.key,
            undo_on_failure=data.undo_on_failure,
            url=entry.url,
        )
        if told is None or intent.is_open:
            return intent
        return replace(intent, finished_at=told.created_at)

    async def with_states(self, entries: Sequence[Entry]) -> Sequence[Intent]:
        """Intents with what their statuses say, one for each key.

        A promotion whose create was repeated, because GitHub listed the first one late, stands
        there twice: it is one promotion, and it has ended when either says so.
        """
        statuses = await together(
            *[partial(self.deployments_api.statuses, entry.repository, entry.id) for entry in entries]
        )
        by_key: dict[str, Intent] = {}
        for entry, told in zip(entries, statuses, strict=True):
            intent = self.intent(entry, told)
            key = read_intent(entry.payload).key or intent.id
            if key not in by_key or (by_key[key].is_open and not intent.is_open):
                by_key[key] = intent
        self._by_key.update(by_key)
        return sorted(by_key.values(), key=lambda intent: (intent.created_at, int(intent.id)), reverse=True)

    def concerns(self, entry: Entry, environment: str | None) -> bool:
        """Whether an entry is an intent of this project (and of that environment).

        Two projects may share a repository. One that cannot be read concerns everybody.
        """
        if entry.task != INTENT_TASK:
            return False
        data = read_intent(entry.payload)
        if not data.readable:
            return True
        return data.project == self.project.name and environment in {None, data.environment}

    def has_looked_at(self, environment: str) -> None:
        """The newest intents of an environment are known."""
        self._looked_at.add(environment)

    # Names.

    def github_name(self, environment: str) -> str:
        """GitHub's name of an environment."""
        return self.project.environments[environment].names.get("github", environment)

    def record_name(self, app: str, environment: str) -> RecordName:
        """How GitHub knows an app in an environment. Raises `UsageError` when it is not there."""
        known = self.project.apps.get(app)
        if known is None or environment not in known.records:
            raise UsageError(
                f"{app} has no records in {environment}: liftlock.toml does not put it there.",
                hint="Run `liftlock status` to see which apps live in which environment.",
            )
        return known.records[environment]

    def _environment_of(self, entry: Entry) -> str:
        names = (name for name in self.project.environments if self.github_name(name) == entry.environment)
        return next(names, entry.environment)

    # Writing.

    async def _create_record(self, name: RecordName, new: NewDeployment, find: Find) -> Entry:
        body = {
            "ref": new.release.commit or await self._default_branch(name.repository),
            "task": name.task,
            "environment": name.environment,
            "description": cut(new.description),
            "payload": record_payload(new),
        }
        return await self.deployments_api.create(name.repository, body, find)

    async def _intent_ref(self, new: NewIntent) -> str:
        """A commit of the project's repository: a deployment must be *of* something."""
        apps = self.project.apps
        for release in new.releases.values():
            known = apps.get(release.app)
            if release.commit and known is not None and known.repository == self.project.repository:
                return release.commit
        return await self._default_branch(self.project.repository)

    async def _default_branch(self, repository: str) -> str:
        if repository not in self._branches:
            self._branches[repository] = await self.deployments_api.default_branch(repository)
        return self._branches[repository]


class _GitHubRecords:
    """One environment's records: a listing for all apps that share its name, statuses where needed."""

    def __init__(self, ledger: GitHubLedger, environment: str, apps: Sequence[str]) -> None:
        self._ledger = ledger
        self._api = ledger.deployments_api
        self._environment = environment
        self._apps = tuple(apps)
        self._names: Mapping[str, RecordName] = {
            app: known.records[environment]
            for app in apps
            if (known := ledger.project.apps.get(app)) is not None and environment in known.records
        }
        self._listings = Once(self._list)
        self._histories = Once(self._gather)
        self._judged = Once(self._judge_all)
        self._open = Once(self._look_for_open)

    async def newest(self) -> Mapping[str, Deployment]:
        return {
            app: self._ledger.deployment(app, self._environment, shown[0])
            for app, (shown, _) in (await self._histories()).items()
            if shown
        }

    async def recorded(self) -> Mapping[str, Recorded]:
        return await self._judged()

    async def earlier(self) -> Mapping[str, Sequence[Deployment]]:
        return {
            app: [self._ledger.deployment(app, self._environment, entry) for entry in shown]
            for app, (shown, _) in (await self._histories()).items()
        }

    async def open_intents(self) -> Sequence[Intent]:
        return await self._open()

    async def _list(self) -> Mapping[tuple[str, str], Page]:
        """One page for each repository and environment name: the apps' and the intents'."""
        places = {(name.repository, name.environment): "" for name in self._names.values()}
        places.setdefault(self._intents_place, INTENT_TASK)
        pages = await together(
            *[partial(self._api.page, *place, task=task) for place, task in places.items()]
        )
        return dict(zip(places, pages, strict=True))

    @property
    def _intents_place(self) -> tuple[str, str]:
        return self._ledger.project.repository, self._ledger.github_name(self._environment)

    async def _gather(self) -> Mapping[str, tuple[Sequence[Entry], Walk]]:
        """Each app's newest entry with those that were shown beside it, and the way back from it.

        One that is not on the page that it shares with others is asked for by its task.
        """
        pages = await self._listings()

        async def history(name: RecordName) -> tuple[Sequence[Entry], Walk]:
            place = name.repository, name.environment
            walk = Walk.from_shared(self._api, pages[place], *place, name.task)
            return await walk.shown(MOST_SHOWN), walk

        histories = await together(*[partial(history, name) for name in self._names.values()])
        return dict(zip(self._names, histories, strict=True))

    async def _judge_all(self) -> Mapping[str, Recorded]:
        histories = await self._histories()
        judged = await together(*[partial(self._judge, app, walk) for app, (_, walk) in histories.items()])
        return {app: Recorded(None) for app in self._apps} | dict(zip(histories, judged, strict=True))

    async def _judge(self, app: str, walk: Walk) -> Recorded:
        """The newest record that counts: one look for most apps, more only while none counts."""
        failed: list[Deployment] = []
        at_a_time = 1
        while entries := await walk.take(at_a_time):
            work = [partial(self._ledger.judged, app, self._environment, entry) for entry in entries]
            for deployment in await together(*work):
                if deployment.counts:
                    return Recorded(deployment, tuple(failed))
                failed.append(deployment)
            at_a_time = min(2 * at_a_time, MOST_AT_ONCE)
        return Recorded(None, tuple(failed))

    async def _look_for_open(self) -> Sequence[Intent]:
        page = (await self._listings())[self._intents_place]
        entries = [entry for entry in page.entries if self._ledger.concerns(entry, self._environment)]
        if not entries and page.next:
            page = await self._api.page(*self._intents_place, task=INTENT_TASK, size=PER_PAGE)
            entries = [entry for entry in page.entries if self._ledger.concerns(entry, self._environment)]
        intents = await self._ledger.with_states(_newest_with_twins(entries))
        self._ledger.has_looked_at(self._environment)
        return [intent for intent in intents if intent.is_open]


def _who(requested_by: str, entry: Entry) -> str:
    """Whose an entry is. GitHub vouches for its creator alone: what a server says of a person is told as that."""
    is_same = requested_by.casefold() in {"", entry.creator.casefold()}
    return entry.creator if is_same else f"{requested_by}{VIA}{entry.creator}"


def _newest_with_twins(entries: Sequence[Entry]) -> list[Entry]:
    """The newest intents, and those that were made of the same promotion: one of them alone would seem open
    for ever, once the one that was closed is no longer among the newest."""
    newest = entries[:NEWEST_INTENTS]
    keys = {read_intent(entry.payload).key for entry in newest} - {""}
    twins = [e for e in entries[NEWEST_INTENTS:] if read_intent(e.payload).key in keys]
    return [*newest, *twins]


def _made_by(entry: Entry, intent: Intent, app: str) -> bool:
    data = read_record(entry.payload)
    return data.promotion == intent.id and data.app == app


def _build(context: Context) -> Ledger:
    if not context.project.repository:
        raise UsageError(
            "The GitHub ledger needs a repository, and liftlock.toml names none.",
            hint='Set [project] repository = "OWNER/NAME", or another ledger.',
        )
    return GitHubLedger(context.project, Deployments(lambda: context.http("github"), LOOKS_S))


plugin: Plugin[Ledger] = Plugin("github", _build)
