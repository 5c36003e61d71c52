"""A GitHub ledger read whole, to be copied: every record of the project's apps, its promotions and approvals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from liftlock.ledgers.github_deployments import Entry as Kept
from liftlock.ledgers.payload import read_approval, read_intent
from liftlock.model import Deployment, Intent
from liftlock.ports import Entry
from liftlock.tasks import together

if TYPE_CHECKING:
    from liftlock.ledgers.github import GitHubLedger

EVERYTHING = 1 << 40


async def whole(ledger: GitHubLedger, intent_task: str, approval_task: str) -> Sequence[Entry]:
    """Everything of the project; a request for the statuses of each record, as always with GitHub."""
    api, project = ledger.deployments_api, ledger.project
    kept = await api.walk(project.repository, "", intent_task).take(EVERYTHING)
    ours = {str(entry.id): entry for entry in kept if ledger.concerns(entry, None)}
    found = [
        intent_entry(intent, ours[intent.id]) for intent in await ledger.with_states(list(ours.values()))
    ]
    for environment in project.environments:
        name = ledger.github_name(environment)
        walk = api.walk(project.repository, name, approval_task)
        given = (approval_entry(environment, entry) for entry in await walk.take(EVERYTHING))
        found += [entry for entry in given if entry is not None]
        for app in project.apps.values():
            if environment not in app.records:
                continue
            place = app.records[environment]
            records = await api.walk(place.repository, place.environment, place.task).take(EVERYTHING)
            judged = await together(
                *[partial(ledger.judged, app.name, environment, entry) for entry in records]
            )
            found += [deployment_entry(one, entry) for one, entry in zip(judged, records, strict=True)]
    return sorted(found, key=lambda entry: (entry.created_at, int(entry.id)))


def payload_text(payload: object) -> str:
    """A payload as a text: what another tool wrote as one stays as it is."""
    if isinstance(payload, str):
        return payload
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def intent_entry(intent: Intent, kept: Kept) -> Entry:
    return Entry(
        kind="intent",
        id=intent.id,
        environment=intent.environment,
        created_at=intent.created_at,
        creator=intent.creator,
        payload=payload_text(kept.payload),
        state=intent.state.value,
        key=read_intent(kept.payload).key,
        description=intent.description,
        finished_at=intent.finished_at,
        url=intent.url,
    )


def deployment_entry(deployment: Deployment, kept: Kept) -> Entry:
    return Entry(
        kind="deployment",
        id=deployment.id,
        environment=deployment.environment,
        created_at=deployment.created_at,
        creator=deployment.creator,
        payload=payload_text(kept.payload),
        state=deployment.state.value if deployment.state else None,
        app=deployment.app,
        sha=kept.sha,
        promotion=deployment.promotion,
        reached_success=deployment.reached_success,
        url=deployment.url,
    )


def approval_entry(environment: str, kept: Kept) -> Entry | None:
    """None for what is no approval that anybody can read: it approves nothing."""
    data = read_approval(kept.payload)
    if data is None:
        return None
    return Entry(
        kind="approval",
        id=str(kept.id),
        environment=environment,
        created_at=kept.created_at,
        creator=kept.creator,
        plan=data.plan_digest,
        expires_at=data.expires_at,
    )
