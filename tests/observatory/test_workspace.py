"""The observatory as git repositories, its changes, and the world that a sandbox is given."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from liftlock.demo import materials
from liftlock.demo.materials import create_workspace
from liftlock.demo.workspace import Workspace, world


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "work")


def images(workspace: Workspace) -> dict[str, dict[str, bytes]]:
    """The files of each folder that an image is built from."""
    root = workspace.services.folder
    return {
        folder: {str(p): p.read_bytes() for p in sorted((root / folder).rglob("*")) if p.is_file()}
        for folder in ("sso", "itc", "odb", "calibration", "obscalc", "resource")
    }


def test_the_commits_are_the_same_wherever_they_are_made(workspace: Workspace, tmp_path: Path) -> None:
    other = create_workspace(tmp_path / "elsewhere")
    for made in (workspace, other):
        materials.add_priority(made)
    heads = [[repository.head() for repository in made.repositories] for made in (workspace, other)]
    assert heads[0] == heads[1]


def test_a_tarball_holds_the_commit_with_its_permissions(workspace: Workspace) -> None:
    with tarfile.open(fileobj=io.BytesIO(workspace.explore.tarball(workspace.explore.head()))) as archive:
        assert {"firebase.json", ".firebaserc", "public/index.html"} <= set(archive.getnames())
        assert archive.getmember("migrate").mode & 0o111


def test_the_project_fits_in_seventy_lines_and_has_all_that_the_design_names(workspace: Workspace) -> None:
    assert len(workspace.config.read_text().splitlines()) <= 70
    project = workspace.project()
    assert list(project.environments) == ["dev", "staging", "production"]
    assert list(project.apps) == [
        "SSO", "ITC", "ODB", "RESOURCE", "Explore", "ResourceUI", "AdminUI", "preferences",
    ]  # fmt: skip
    assert project.apps["Explore"].targets["staging"].name == "explore-gemini-stage"
    assert project.apps["AdminUI"].records["production"].environment == "admin-ui-production"
    directories = {source.directory for app in project.apps.values() for source in app.processes.values()}
    assert all((workspace.services.folder / directory).is_dir() for directory in directories)
    assert len(directories) == 6


def test_version_2_leaves_the_images_of_the_others_as_they_are(workspace: Workspace) -> None:
    before = images(workspace)
    materials.add_priority(workspace)
    after = images(workspace)
    assert [name for name in before if before[name] != after[name]] == ["odb"]


@pytest.mark.parametrize(
    "change",
    [
        materials.add_priority,
        materials.need_detector_set,
        materials.need_weather_station,
        materials.require_distinct_titles,
        lambda workspace: materials.change_one_app(workspace, "SSO", "2.8.0"),
    ],
)
def test_every_change_is_committed_and_compiles(workspace: Workspace, change: object) -> None:
    before = [len(repository.commits()) for repository in workspace.repositories]
    assert callable(change)
    change(workspace)
    assert sum(len(repository.commits()) for repository in workspace.repositories) > sum(before)
    for file in workspace.services.folder.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")


def test_what_was_broken_can_be_mended(workspace: Workspace) -> None:
    materials.need_detector_set(workspace)
    materials.mend_detector_set(workspace)
    text = (workspace.services.folder / "itc/app.py").read_text()
    assert 'os.environ.get("ITC_DETECTOR_SET", "2026B")' in text
    commits = workspace.services.commits()
    assert [commit["parents"] for commit in commits[1:]] == [[commit["sha"]] for commit in commits[:-1]]


def test_the_world_has_an_app_a_database_and_a_site_for_every_target(workspace: Workspace) -> None:
    made = world(workspace.project(), "http://127.0.0.1:4000", {"itc-staging": {"MORE": "1"}})
    assert made["github"]["repositories"] == ["example/admin", "example/explore", "example/services"]
    apps = {app["name"]: app for app in made["heroku"]["apps"]}
    assert len(apps) == 12
    assert {name for name in apps if not apps[name]["database"]} == {
        "itc-dev",
        "itc-staging",
        "itc-production",
    }
    odb = apps["lucuma-postgres-odb-staging"]
    assert odb["config_vars"]["SSO_ROOT"] == "http://127.0.0.1:4000/_apps/lucuma-sso-staging"
    assert odb["formation"] == {"web": 1, "calibration": 1, "obscalc": 1}
    assert apps["itc-staging"]["config_vars"] == {"ENVIRONMENT": "staging", "MORE": "1"}
    assert "ITC_DETECTOR_SET" in apps["itc-dev"]["config_vars"]
    assert len(made["firebase"]["sites"]) == 9


@pytest.mark.parametrize("folder", ["explore", "admin/resource-ui", "admin/admin-ui"])
def test_a_site_says_how_it_is_hosted_and_under_which_names(
    workspace: Workspace, observatory: Path, folder: str
) -> None:
    hosting = json.loads((observatory / folder / "firebase.json").read_text())["hosting"]
    assert (observatory / folder / hosting["public"] / "index.html").is_file()
    named = json.loads((observatory / folder / ".firebaserc").read_text())
    sites = named["targets"][named["projects"]["default"]]["hosting"][hosting["target"]]
    targets = [target.name for app in workspace.project().apps.values() for target in app.targets.values()]
    assert set(sites) <= set(targets)
