"""`doctor`: tries everything that a project needs, all at once, and says what to mend. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import anyio

from liftlock.errors import LiftlockError, Unauthorized
from liftlock.http.answers import vendor_name
from liftlock.probes import Finding, Probe
from liftlock.tasks import together

LIMIT_S = 15.0
"""How long one probe may take."""


_HEROKU = "Log in again with `heroku login`, or set HEROKU_API_KEY to a valid token: `heroku authorizations:create`."
CREDENTIALS = {
    "github": "It is wrong, expired or revoked. Make another at https://github.com/settings/tokens, and set GITHUB_TOKEN.",
    "heroku": _HEROKU,
    "heroku_data": _HEROKU,
    "heroku_registry": _HEROKU,
    "firebase": "Make a new key for the service account and set GOOGLE_APPLICATION_CREDENTIALS, or run "
    "`gcloud auth application-default login`.",
}
"""What to do about a credential that its vendor refuses altogether."""


class Health(StrEnum):
    """How a probe ended."""

    WELL = "well"
    NOTE = "note"
    """It works as far as it can be told, and there is something to know."""
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Examined:
    """One probe's result. `hint` is the exact thing to do."""

    group: str
    what: str
    health: Health
    said: str
    hint: str = ""


async def examine(probes: Sequence[Probe], limit_s: float = LIMIT_S) -> Sequence[Examined]:
    """Try all of them at once, each for `limit_s` seconds at most; the results in their order."""
    return await together(*(partial(_examined, probe, limit_s) for probe in probes))


async def _examined(probe: Probe, limit_s: float) -> Examined:
    finding: Finding | None = None
    try:
        with anyio.move_on_after(limit_s):
            finding = await probe.run()
    except Unauthorized as error:
        said, hint = error.message, error.hint
        if error.status == 401:
            said = f"{vendor_name(error.vendor)} does not take the credential (401)."
            hint = CREDENTIALS.get(error.vendor, error.hint)
        return Examined(probe.group, probe.what, Health.MEND, said, hint)
    except LiftlockError as error:
        return Examined(probe.group, probe.what, Health.MEND, error.message, error.hint)
    if finding is None:
        return Examined(
            probe.group,
            probe.what,
            Health.MEND,
            f"no answer within {limit_s:g} s.",
            f"Check the network, and {probe.group}'s status page; then run doctor again.",
        )
    health = Health.NOTE if finding.note else Health.WELL
    return Examined(probe.group, probe.what, health, finding.said)
