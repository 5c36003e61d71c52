"""kill -9 at many instants of a real promotion, and many at once: real processes against a real sandbox."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.conftest import Make, deployed, make_cloud, staged

__all__ = ["deployed", "make_cloud", "staged"]  # fixtures, used by their names

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("LIFTLOCK_KILLS", "6"))
AT_ONCE = 8
LASTS_S = 4.0
"""About how long such a promotion takes, the start of its interpreter included."""


@pytest.fixture(scope="module")
def cloud(make_cloud: Make, staged: Path) -> Cloud:
    return make_cloud(staged)


def broken_free(cloud: Cloud) -> None:
    """Take the lease of the one that was killed, as a person does who knows that it is dead."""
    process = cloud.start('lease break staging --reason "it was killed"')
    process.communicate(timeout=60)


@pytest.mark.promise("P5")
@pytest.mark.timeout(900)
def test_a_promotion_killed_at_any_instant_is_finished_once(cloud: Cloud) -> None:
    dice = random.Random(7)
    cloud.settings(release_s=0.3, backup_s=0.3)
    killed = 0
    for number in range(KILLS):
        new = {app: cloud.publish(app, seed=f"{app} {number}") for app in ("SSO", "ODB")}
        cloud.clear_log()
        process = cloud.start("promote dev staging --yes")
        time.sleep(dice.uniform(0.3, LASTS_S))
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -9
        broken_free(cloud)
        cloud.run("resume staging --finish --yes")
        cloud.run("promote dev staging --yes")
        for app, images in new.items():
            assert cloud.images(app, "staging") == images
            name = {"SSO": "lucuma-sso-staging", "ODB": "lucuma-postgres-odb-staging"}[app]
            assert len(cloud.requests("PATCH", f"{name}/formation$")) == 1, f"kill {number}: {app}"
            records = [
                r
                for r in cloud.records("staging", app)
                if images.items() <= dict(r["payload"]["docker_image_shas"]).items()
            ]
            assert len(records) == 1, f"kill {number}: {app}"
    assert killed >= KILLS // 2


@pytest.mark.promise("P3")
def test_of_eight_that_begin_at_once_exactly_one_runs(cloud: Cloud) -> None:
    new = cloud.publish("ITC", seed="eight")
    cloud.settings(release_s=1.0)
    cloud.clear_log()
    processes = [cloud.start("promote dev staging --yes") for _ in range(AT_ONCE)]
    told = [process.communicate(timeout=120) for process in processes]
    codes = [process.returncode for process in processes]
    assert codes.count(0) >= 1, told
    assert set(codes) <= {0, 4}, told
    assert cloud.images("ITC", "staging") == new
    assert len(cloud.requests("PATCH", "/formation$")) == 1
