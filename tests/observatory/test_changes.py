"""The changes that a demo or a test makes do to the running services what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from liftlock.demo import materials
from liftlock.demo.workspace import Workspace

Start = Callable[..., Any]
NewDatabase = Callable[[str], str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return materials.create_workspace(tmp_path / "work")


def test_itc_crashes_at_start_where_its_new_setting_is_missing(workspace: Workspace, start: Start) -> None:
    materials.need_detector_set(workspace)
    folder = workspace.services.folder / "itc"
    crashed = start(folder, wait=False)
    assert crashed.process.wait(20) != 0
    good = start(folder, ITC_DETECTOR_SET="2026B")
    assert good.ask("/exposure")[1]["detector_set"] == "2026B"
    materials.mend_detector_set(workspace)
    assert start(folder).ask("/")[1]["version"] == "1.13.1"


def test_resource_is_not_healthy_where_its_new_setting_is_missing(
    workspace: Workspace, start: Start, new_database: NewDatabase
) -> None:
    materials.need_weather_station(workspace)
    folder, address = workspace.services.folder / "resource", new_database("weather")
    assert start(folder, DATABASE_URL=address).ask("/health")[0] == 503
    assert start(folder, DATABASE_URL=address, WEATHER_STATION="cp-west").ask("/health")[0] == 200


def test_version_2_migrates_and_version_1_goes_on_working_on_its_schema(
    workspace: Workspace, start: Start, new_database: NewDatabase
) -> None:
    """Why the project may say `undo = "safe"` of ODB."""
    folder, address = workspace.services.folder / "odb", new_database("priority")
    phase = {"wait": False, "DYNO": "release.1", "DATABASE_URL": address}
    assert start(folder, **phase).process.wait(20) == 0
    old = start(folder, DATABASE_URL=address)
    assert "priority" not in old.ask("/programs")[1][0]
    materials.add_priority(workspace)
    assert start(folder, **phase).process.wait(20) == 0
    new = start(folder, DATABASE_URL=address)
    assert new.ask("/programs")[1][0]["priority"] == 2
    assert new.ask("/health")[1]["schema"] == "0003_priority"
    assert old.ask("/programs")[0] == 200


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    workspace: Workspace, start: Start, new_database: NewDatabase
) -> None:
    folder, address = workspace.services.folder / "odb", new_database("titles")
    phase = {"wait": False, "DYNO": "release.1", "DATABASE_URL": address}
    assert start(folder, **phase).process.wait(20) == 0
    with psycopg.connect(address) as database:
        database.execute(
            "INSERT INTO observations (program_id, title, instrument, magnitude)"
            " SELECT program_id, title, instrument, magnitude FROM observations LIMIT 1"
        )
    materials.require_distinct_titles(workspace)
    failed = start(folder, **phase)
    assert failed.process.wait(20) == 1
    with psycopg.connect(address) as database:
        database.execute(
            "DELETE FROM observations o USING observations p WHERE o.title = p.title AND o.id > p.id"
        )
        assert database.execute("SELECT count(*) FROM schema_migrations").fetchone() == (2,)
    assert start(folder, **phase).process.wait(20) == 0
