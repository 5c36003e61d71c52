"""`liftlock diff` between environments of the reference project, with its real commits."""

from __future__ import annotations

import pytest

from liftlock.demo import materials
from liftlock.demo.workspace import publish
from tests.e2e.cloud import ELSEWHERE, Cloud

pytestmark = pytest.mark.e2e


@pytest.fixture
def ahead(cloud: Cloud) -> Cloud:
    """dev holds a new ODB and Explore; staging what was there before."""
    materials.add_priority(cloud.workspace)
    publish(cloud.sandbox, cloud.workspace)
    cloud.configure("[apps.ODB]", '[apps.ODB]\nmigrations = ["odb/migrations/*.sql"]')
    head = cloud.workspace.services.head()
    pull = {"number": 128, "title": "Priorities", "login": "ada", "merge_commit": head}
    cloud.sandbox.request("PUT", "/_sandbox/github/example/services/pulls", [pull])
    cloud.run("deploy dev --yes")
    cloud.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
    return cloud


def test_a_diff_tells_commits_pull_requests_images_and_migrations(ahead: Cloud) -> None:
    said = ahead.run("diff dev staging").said
    assert "dev compared with staging: 3 of 8 apps differ" in said
    assert "#128 Add observing-block priority to ODB Observatory Team" in said
    assert "ODB migration odb/migrations/0003_priority.sql" in said
    assert "Show a program's priority in Explore" in said
    assert "Unchanged: SSO, ITC, RESOURCE, ResourceUI, AdminUI." in said

    apps = {app["app"]: app for app in ahead.run("diff dev staging --json").document["apps"]}
    odb = apps["ODB"]
    assert (odb["standing"], odb["ahead"], odb["behind"]) == ("ahead", 1, 0)
    assert [commit["sha"] for commit in odb["commits"]] == [ahead.workspace.services.head()]
    assert odb["pull_requests"] == [128]
    assert {change["part"] for change in odb["changes"]} == {"release", "web"}
    assert odb["sizes"]["after_bytes"] > odb["sizes"]["shared_bytes"] > 0
    assert [len(apps[app]["commits"]) for app in ("Explore", "preferences")] == [2, 2]
    assert apps["SSO"]["standing"] == "unchanged"

    other_way = ahead.run("diff staging dev ODB").said
    assert "dev is ahead: it has 1 commit that staging lacks" in other_way
    assert "1 of 1 apps differ" in other_way
    ahead.run("promote dev staging --yes")
    assert "dev and staging hold the same." in ahead.run("diff dev staging").said


def test_release_notes_are_markdown_on_standard_output(ahead: Cloud) -> None:
    notes = ahead.run("diff dev staging ODB --format markdown").out
    assert notes.startswith("## observatory: dev → staging\n\n### ODB\n\n")
    assert "- Add observing-block priority to ODB ([\\#128](http" in notes
    assert max(map(len, notes.splitlines())) > 120, "no line is broken"


def test_a_diff_goes_on_with_the_checkout_when_github_cannot_compare(ahead: Cloud) -> None:
    ahead.fault(vendor="github", method="GET", path="/compare/", action="status", status=404)
    said = ahead.run("diff dev staging ODB").said
    assert "Add observing-block priority to ODB" in said
    assert "ODB migration odb/migrations/0003_priority.sql" in said


def test_names_that_do_not_exist_are_corrected(shared: Cloud) -> None:
    said = shared.run("diff dev stagin", code=2).said
    assert "Did you mean staging?" in said
    assert "Did you mean ODB?" in shared.run("diff dev staging OBD", code=2).said
    assert "does not differ from itself" in shared.run("diff dev dev", code=2).said
    shared.run("diff dev staging --format html", code=2)
