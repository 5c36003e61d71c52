"""The main path with real processes and real PostgreSQL: what crashes really crashes, what is
backed up can be restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.demo import materials, proofs
from liftlock.demo.workspace import prepare, publish, repeat_an_observation
from tests.e2e.cloud import ELSEWHERE, Cloud, heroku, state_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[Cloud]:
    """Version 1 in dev and in staging."""
    folder = tmp_path_factory.mktemp("real")
    workspace = materials.create_workspace(folder)
    with Cloud(folder, program, modelled=False) as cloud:
        prepare(cloud.sandbox, workspace)
        cloud.run("deploy dev --yes")
        cloud.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
        cloud.run(f"deploy dev --yes {ELSEWHERE}", folder="admin")
        cloud.run("promote dev staging --yes")
        yield cloud


def version(cloud: Cloud, app: str, environment: str) -> str:
    """What a running service says of itself."""
    answer = cloud.sandbox.request("GET", f"/_apps/{heroku(app, environment)}/")
    assert answer["environment"] == environment
    return str(answer["version"])


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
@pytest.mark.promise("P6")
def test_the_main_path_with_everything_that_may_go_wrong(real: Cloud) -> None:
    """One story, since each act needs the world that the one before it left."""
    # What runs in staging is what was built for dev, and it answers.
    assert real.runs("staging") == real.runs("dev")
    assert version(real, "ODB", "staging") == "4.3.0"
    assert "pg_restore finds the data of" in proofs.backup_is_restorable(
        real.sandbox, heroku("ODB", "staging")
    )

    # A new version goes up, its migration with it; the backup before it holds the old tables.
    materials.add_priority(real.workspace)
    publish(real.sandbox, real.workspace)
    real.run("deploy dev --yes")
    real.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    real.run("promote dev staging --yes")
    assert version(real, "ODB", "staging") == "4.4.0"
    assert real.runs("staging") == real.runs("dev")
    assert len(real.backups("ODB", "staging")) == 2
    assert "can be restored on the embedded PostgreSQL" in real.run("backups verify staging ODB b002").said
    told = proofs.backup_is_restorable(real.sandbox, heroku("ODB", "staging"))
    for name in ("observations", "programs", "schema_migrations"):
        assert name in told
    good = real.runs("staging"), real.records("staging")

    # ITC crashes at its start where a setting is missing; SSO, already switched, goes back with it.
    materials.change_one_app(real.workspace, "SSO", "2.8.0")
    materials.need_detector_set(real.workspace)
    publish(real.sandbox, real.workspace)
    real.run("deploy dev --yes")
    said = real.run("promote dev staging --yes", code=1).said
    assert "ITC" in said
    assert "ITC_DETECTOR_SET" in said, "the last lines of its log tell why"
    assert (real.runs("staging"), real.records("staging")) == good
    assert version(real, "ITC", "staging") == "1.12.3"
    assert version(real, "SSO", "staging") == "2.7.0"
    assert state_of(real.intents("staging")[-1]) == "failure"

    # A migration fails in the release phase, on data that staging has and dev has not.
    materials.mend_detector_set(real.workspace)
    materials.require_distinct_titles(real.workspace)
    publish(real.sandbox, real.workspace)
    repeat_an_observation(real.sandbox, "staging")
    real.run("deploy dev --yes")
    said = real.run("promote dev staging --yes", code=1).said
    assert "The release phase (process type release) of ODB in staging" in said
    assert "observations_by_title" in said, "the release phase's own words tell why"
    assert (real.runs("staging"), real.records("staging")) == good
    assert version(real, "ODB", "staging") == "4.4.0"
