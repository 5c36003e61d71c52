"""What `doctor` tries at Heroku: the account, every app, the registry's login."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from liftlock.errors import LiftlockError, NotFound, Unauthorized
from liftlock.http import field, optional
from liftlock.model import Target
from liftlock.platform_images import PlatformImages
from liftlock.platform_images import probes as image_probes
from liftlock.platforms.heroku.api import ACCEPT
from liftlock.plugins import Context
from liftlock.probes import Finding, Probe, of_targets

GROUP = "Heroku"
FEW_REQUESTS = 200
"""A promotion of a dozen apps takes about as many. Heroku gives 4,500 an hour."""


def probes(context: Context, platform_images: PlatformImages) -> Sequence[Probe]:
    """One for each app in each environment, and three for the account."""
    targets = context.project.targets_on("heroku")
    found = [
        Probe(GROUP, "account", partial(_account, context)),
        Probe(GROUP, "requests left", partial(_left, context)),
    ]
    found += of_targets(GROUP, targets, partial(_app, context))
    return [*found, *image_probes(platform_images, targets, GROUP)]


async def _account(context: Context) -> Finding:
    answer = await context.http("heroku").request("GET", "/account", headers=ACCEPT)
    return Finding(field(answer.object(), "email", str))


async def _left(context: Context) -> Finding:
    answer = await context.http("heroku").request("GET", "/account/rate-limits", headers=ACCEPT)
    left = field(answer.object(), "remaining", int)
    return Finding(f"{left} in this hour", note=left < FEW_REQUESTS)


async def _app(context: Context, target: Target) -> Finding:
    try:
        answer = await context.http("heroku").request("GET", f"/apps/{target.name}", headers=ACCEPT)
    except NotFound as error:
        error.hint = (
            f"Make it: heroku create {target.name} --stack container. Or name the right app as `heroku` of "
            f"[apps.{target.app}]."
        )
        raise
    except Unauthorized as error:
        error.hint = (
            f"Let its owner give this account access: heroku access:add EMAIL --app {target.name} "
            "--permissions view,deploy,operate"
        )
        raise
    app = answer.object()
    stack = optional(app, "stack.name", str) or ""
    if stack != "container":
        raise LiftlockError(
            f"{target.name} runs on the stack {stack}, which takes no images.",
            hint=f"heroku stack:set container --app {target.name}",
        )
    if optional(app, "maintenance", bool):
        return Finding("there, and in maintenance mode", note=True)
    return Finding("there, runs containers")
