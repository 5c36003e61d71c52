"""A site that moves from Firebase Hosting to a directory, and is promoted with the containers on Heroku."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liftlock.demo.materials import add_priority
from liftlock.demo.workspace import publish
from tests.e2e.cloud import ELSEWHERE, Cloud

pytestmark = pytest.mark.e2e


def moved(cloud: Cloud) -> Path:
    """Explore in a directory for each environment, instead of at Firebase; the place of all of them."""
    place = cloud.folder / "www"
    for environment in ("dev", "staging", "production"):
        (place / environment / "explore").mkdir(parents=True)
    cloud.configure('firebase = "explore-gemini-{env}"', f'directory = "{place}/{{env}}/explore"')
    return place


def shown(place: Path, environment: str) -> str:
    """The version that a site's page tells; "" when nothing is served."""
    page = place / environment / "explore" / "current" / "index.html"
    return re.findall(r"Explore (1\.[0-9]+\.[0-9]+)", page.read_text())[0] if page.exists() else ""


@pytest.mark.promise("P4")
def test_both_kinds_are_promoted_in_one_lockstep_and_go_back_together(fresh: Cloud) -> None:
    place = moved(fresh)
    assert "Explore" in fresh.run("status dev --check", code=5).said, "nothing is served there yet"
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    fresh.run("status dev --check")
    fresh.run("promote dev staging --yes")
    assert shown(place, "dev") == shown(place, "staging") == "1.18.0"
    first = fresh.images("ODB", "staging")

    add_priority(fresh.workspace)
    publish(fresh.sandbox, fresh.workspace)
    fresh.run("deploy dev --yes")
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    plan = fresh.run("plan dev staging --json").document
    assert plan["apps"]["Explore"]["action"] == "release"
    fresh.run("promote dev staging --yes")
    assert shown(place, "staging") == "1.19.0"
    assert fresh.images("ODB", "staging") != first
    fresh.run("status staging --check")
    assert "Nothing to do" in fresh.run("promote dev staging --yes").out

    fresh.run("rollback staging --yes")
    assert shown(place, "staging") == "1.18.0"
    assert fresh.images("ODB", "staging") == first
    fresh.run("status staging --check")


@pytest.mark.promise("P4")
def test_nothing_is_released_when_a_site_cannot_be_staged(fresh: Cloud) -> None:
    """P4. Its directory holds something that liftlock did not make, and it is left alone."""
    place = moved(fresh)
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    theirs = place / "staging" / "explore" / "current"
    theirs.mkdir()
    ended = fresh.run("promote dev staging --yes", code=1)
    assert "current is no link" in ended.said
    assert fresh.images("ODB", "staging") == {}
    assert theirs.is_dir()


@pytest.mark.promise("P5")
def test_a_promotion_that_was_killed_is_finished(fresh: Cloud) -> None:
    """P5. Killed while the containers are released: the site is staged, and not yet switched."""
    place = moved(fresh)
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    fresh.settings(boot_s=5.0)
    process = fresh.start("promote dev staging --yes")
    fresh.wait_until(lambda: fresh.requests("PATCH", "/formation"))
    process.kill()
    process.communicate()
    assert shown(place, "staging") == ""
    fresh.settings(boot_s=0.0)
    fresh.run('lease break staging --reason "it was killed"')
    fresh.run("resume staging --finish --yes")
    assert shown(place, "staging") == "1.18.0"
    fresh.run("status staging --check")


def test_a_record_from_before_the_move_is_told_and_nothing_goes_back(fresh: Cloud) -> None:
    place = moved(fresh)
    fresh.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    refused = fresh.run("rollback dev --yes", code=1)
    assert "names no version of a directory (sites/explore-gemini-dev/versions/" in refused.said
    assert "deploy Explore anew" in refused.said
    assert shown(place, "dev") == "1.18.0"
