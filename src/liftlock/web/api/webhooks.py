"""GitHub's webhooks: something was pushed or deployed, so the board is looked at anew.

A delivery decides nothing: it only says that looking is worth while. Its signature is checked over the
bytes that came, and each delivery counts once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re

from sqlalchemy import Connection, delete, insert
from sqlalchemy.exc import IntegrityError

from liftlock.errors import UsageError
from liftlock.web.access.access import Access
from liftlock.web.access.guard import ADDRESS
from liftlock.web.access.keys import digest
from liftlock.web.access.people import SignInNeeded
from liftlock.web.api.operations import Call, Nothing, Shape, Told, operation
from liftlock.web.store import tables

KEPT_S = 7 * 86400.0
"""How long deliveries are remembered. GitHub redelivers within three days."""
HEARD = frozenset({"deployment", "deployment_status", "push", "check_run", "check_suite", "status", "ping"})
_DELIVERY = re.compile(r"[0-9A-Za-z-]{8,64}")


class Heard(Shape):
    """What became of a delivery."""

    heard: bool
    """Whether it led to a new look."""


@operation("POST", "/webhooks/github", tag="webhooks", answer=Heard, status=202, is_open=True)
async def webhook_github(call: Call[Nothing, Nothing]) -> Told:
    """What GitHub sends. Signed with the secret of `[serve] webhook_secret`; a replayed delivery is refused."""
    request, access = call.request, call.access
    address = request.scope[ADDRESS]
    reference = access.project.serve.webhook_secret
    if not reference:
        raise UsageError("This server takes no webhooks.", hint="Set [serve] webhook_secret.")
    await access.limits.check("webhook", address)
    body = await request.body()
    secret = access.secret(reference)
    made = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = request.headers.get("x-hub-signature-256", "")
    if not hmac.compare_digest(made.encode(), given.encode()):
        await access.limits.count("webhook", address)
        await access.audit.write(None, "webhook", outcome="refused", address=address, why="forged")
        raise SignInNeeded(
            "The webhook is not signed with this server's secret.",
            hint="Compare the secret at GitHub with that of [serve] webhook_secret.",
        )
    delivery = request.headers.get("x-github-delivery", "")
    if not _DELIVERY.fullmatch(delivery):
        raise UsageError("The webhook has no delivery id.", hint="GitHub sends X-GitHub-Delivery.")
    # By the body as well: the id's header is not signed, and a replay could carry another one.
    if not await _is_first(access, delivery, body):
        raise UsageError("This delivery was heard before.", hint="Nothing has to be done.")
    event = request.headers.get("x-github-event", "")
    is_heard = event in HEARD - {"ping"} and _concerns(access, body)
    if is_heard:
        call.site.reading.outdate()
    return Told(Heard(heard=is_heard).model_dump(), status=202)


async def _is_first(access: Access, delivery: str, body: bytes) -> bool:
    """Remembers a delivery; whether it is the first of its id and of its content."""
    now, deliveries = access.now(), tables.deliveries
    ids = [digest(delivery), hashlib.sha256(b"body " + body).hexdigest()]

    def write(connection: Connection) -> bool:
        connection.execute(delete(deliveries).where(deliveries.c.received_at < now - KEPT_S))
        try:
            with connection.begin_nested():
                connection.execute(insert(deliveries), [{"id": each, "received_at": now} for each in ids])
        except IntegrityError:
            return False
        return True

    return await access.store.write(write)


def _concerns(access: Access, body: bytes) -> bool:
    """Whether it is about a repository of the project."""
    try:
        name = json.loads(body)["repository"]["full_name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    project = access.project
    ours = {project.repository, *(app.repository for app in project.apps.values())}
    return str(name).casefold() in {each.casefold() for each in ours}
