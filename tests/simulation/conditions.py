"""The gates, judged anew at each intent: from the cloud's tables and the actor's own clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from liftlock.planning.gates.times import freeze, window
from liftlock.planning.plan import Verdict
from liftlock.sandbox.clock import EPOCH, from_iso
from liftlock.sandbox.heroku_data import transfers_of
from tests.simulation.actors import Actor
from tests.simulation.dumps import Dumps
from tests.simulation.truth import Books, Written, seconds
from tests.simulation.world import World

STEP_S = 5.0
"""How finely the time between a command's beginning and its intent is looked through."""


def lacking_gates(
    world: World,
    books: Books,
    dumps: Dumps,
    written: Written,
    actor: Actor,
    began: float,
    changed: list[str],
) -> list[str]:
    """What keeps a promotion from beginning that has just begun; nothing where all is well.

    A gate is judged when the plan is made, at a time between the command's beginning and now that
    nobody outside knows: one that passed at any of them has passed.
    """
    gates = world.project.environments[written.environment].gates
    now = seconds(actor.now()) - actor.skew_s
    lacking = []
    if gates.approvals and "approvals" not in written.overrides:
        given = {
            yes.account
            for yes in books.approvals(written.environment)
            if yes.plan == written.plan and yes.until > began + actor.skew_s and yes.account != actor.login
        }
        if len(given) < gates.approvals:
            lacking.append("nobody else has approved it")
    moments = _moments(began + actor.skew_s, now + actor.skew_s)
    asked = {"window": gates.window, "freeze": gates.freeze}
    judges: dict[str, Callable[[datetime], Verdict]] = {
        "window": lambda at: window(gates.window, at),
        "freeze": lambda at: freeze(gates.freeze, at),
    }
    for gate, judge in judges.items():
        is_asked = asked[gate] and gate not in written.overrides
        if is_asked and not any(judge(moment).passed for moment in moments):
            lacking.append(f"it may not begin now ({asked[gate]})")
    if gates.soak_s and "soak" not in written.overrides:
        lacking += [
            f"{app} has soaked for less than {gates.soak_s:.0f} s"
            for app in changed
            if not _soaked(books, written, app, now + actor.skew_s - gates.soak_s)
        ]
    if gates.backup_age_s and "backup_age" not in written.overrides:
        since = began + actor.skew_s - gates.backup_age_s
        lacking += [
            f"the newest backup of {app} is too old"
            for app, known in world.project.apps.items()
            if known.backup and not _backed_up(world, dumps, app, written.environment, since)
        ]
    return lacking


def _moments(since: float, until: float) -> list[datetime]:
    count = min(int((until - since) / STEP_S) + 1, 500)
    step = (until - since) / max(count, 1)
    return [(EPOCH + timedelta(seconds=since + n * step)).astimezone(UTC) for n in range(count + 1)]


def _soaked(books: Books, written: Written, app: str, before: float) -> bool:
    """Whether the source had it by then; a file's times are not whole seconds."""
    parts = written.releases[app]
    return any(
        record.at <= before + 1
        for record in books.records(written.source)
        if record.app == app and (not record.parts or record.parts == parts or "site" in parts)
    )


def _backed_up(world: World, dumps: Dumps, app: str, environment: str, since: float) -> bool:
    if world.on_swarm(app):
        return dumps.any_since(app, environment, since)
    owner = world.database_of(app, environment)
    return any(
        one["succeeded"] and seconds(from_iso(one["finished_at"])) >= int(since)
        for one in transfers_of(world.cloud, owner)
        if one["to_type"] == "gof3r"
    )
