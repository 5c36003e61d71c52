"""What the adapters send to Heroku, its registry and its databases, and what the sandbox answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from liftlock.errors import NotHealthy, ReleaseFailed
from liftlock.model import ImageId, Known, Located, Release
from tests.contract.conftest import COMMITS, Stage
from tests.contract.vendors import unavailable

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(unavailable("heroku")), reason=unavailable("heroku") or "described"),
]

APP = "lucuma-sso-{}"


def quiet(_: str) -> None:
    """Progress that nobody reads."""


async def pushed(stage: Stage, environment: str, seed: str, **labels: str) -> Release:
    """A release of SSO whose images lie in an environment's repositories."""
    artifacts = {}
    for process in ("web", "worker"):
        image = await stage.push_image(
            APP.format(environment), process, f"{process} {seed}", labels=labels if process == "web" else {}
        )
        artifacts[process] = ImageId(image["image_id"])
    return Release("SSO", COMMITS[0], artifacts)


async def test_a_release_s_way_up_and_back_is_as_heroku_describes_it(stage: Stage) -> None:
    heroku = stage.adapters.platforms["heroku"]
    dev, staging = stage.target("SSO", "dev"), stage.target("SSO", "staging")
    nothing = await heroku.running(staging, [])
    assert isinstance(nothing, Known)

    first = await pushed(stage, "dev", "one")
    switch = await heroku.release(dev, first, quiet)
    await heroku.settle(dev, first, switch, 0.1, quiet)
    assert not (await heroku.release(dev, first, quiet)).changed

    located = await heroku.locate(staging, await heroku.pin(dev, first), dev)
    assert isinstance(located, Located)
    staged = await heroku.stage(staging, located, dev, quiet)
    await heroku.settle(staging, staged, await heroku.release(staging, staged, quiet), 0.1, quiet)
    before = await heroku.running(staging, [staged])
    assert isinstance(before, Known)

    second = await pushed(stage, "staging", "two")
    await heroku.settle(staging, second, await heroku.release(staging, second, quiet), 0.1, quiet)
    await heroku.restore(staging, before, quiet)
    assert isinstance(await heroku.running(staging, [staged, second]), Known)
    await heroku.restore(staging, nothing, quiet)


@pytest.mark.parametrize("failure", ["crash", "unhealthy"])
async def test_a_release_that_does_not_stay_up_is_told_as_heroku_describes_it(
    stage: Stage, failure: str
) -> None:
    heroku, staging = stage.adapters.platforms["heroku"], stage.target("SSO", "staging")
    broken = await pushed(stage, "staging", failure, **{"io.liftlock.sandbox": failure})
    switch = await heroku.release(staging, broken, quiet)
    if failure == "crash":
        with pytest.raises((NotHealthy, ReleaseFailed)):
            await heroku.settle(staging, broken, switch, 0.1, quiet)
    assert ("PATCH", "/apps/lucuma-sso-staging/formation") in stage.recorder.seen("heroku")


async def test_a_backup_is_as_heroku_s_cli_knows_it(stage: Stage) -> None:
    service = stage.adapters.databases["heroku"]
    staging = stage.target("SSO", "staging")
    (database,) = await service.databases(staging)
    began = stage.adapters.clock.now() - timedelta(days=1)
    backup = await service.capture(database, began, quiet)
    assert backup.size_bytes > 0
    assert [each.id for each in await service.backups(staging)] == [backup.id]
    assert len(stage.recorder.seen("heroku_data")) >= 2
