"""Images of platforms that pull from any registry, in a real CNCF registry."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import ArtifactMissing, UsageError
from liftlock.model import (
    App,
    Environment,
    ImageId,
    Located,
    Missing,
    ProcessSource,
    Project,
    RecordedId,
    Release,
    Target,
)
from liftlock.platform_images import LATEST, PlatformImages, Publisher, complete, id_tag, of_registry, probes
from liftlock.plugins import Context
from liftlock.ports import Publication
from liftlock.registry.distribution import Distribution

pytestmark = pytest.mark.anyio
Make = Callable[..., Distribution]
COMMIT = "5" * 40
LEVELS = ("dev", "staging", "production")


@dataclass
class Here:
    """A checkout with two services, and a project whose images are pulled from the registry."""

    host: str
    connect: Make
    checkout: Path
    place: str

    @property
    def images(self) -> Distribution:
        """Another process' client each time: what one has made it does not make again."""
        return self.connect()

    def write(self, version: str) -> None:
        for name in ("api", "worker"):
            folder = self.checkout / name
            folder.mkdir(exist_ok=True)
            (folder / "app.py").write_text(f"print('{name} {version} {self.place}')\n")

    def project(self, registry: str, archive: str = "", levels: tuple[str, ...] = LEVELS) -> Project:
        """`registry` is a template of a place in the registry."""
        api = ProcessSource(directory="api", command=("python3", "app.py"))
        worker = ProcessSource(directory="worker", command=("python3", "app.py"))
        processes = {"web": api, "release": api, "worker": worker}
        targets = {
            level: Target(
                "API",
                level,
                "swarm",
                f"observatory-{level}",
                processes=tuple(processes),
                registry=f"{self.host}/{self.place}/{registry.replace('{env}', level)}",
            )
            for level in levels
        }
        app = App("API", "swarm", "example/services", targets, {}, processes=processes)
        return Project(
            name="observatory",
            repository="example/services",
            ledger="github",
            settle_s=0.0,
            environments={level: Environment(level) for level in levels},
            apps={"API": app},
            endpoints={},
            archive=f"{self.host}/{self.place}/{archive}" if archive else "",
        )

    def platform_images(self, project: Project) -> PlatformImages:
        return of_registry(_context(project, self.images))

    async def publish(self, project: Project, commit: str = COMMIT, *, rebuild: bool = False) -> Release:
        publisher = Publisher(self.platform_images(project), project)
        publication = Publication(rebuild=rebuild)
        return await publisher.publish(project.apps["API"], commit, self.checkout, quiet, publication)


def _context(project: Project, images: Distribution) -> Context:
    nothing: Any = object()  # nothing else is asked of it
    return Context(project, nothing, lambda: images, nothing, nothing, {}, nothing, nothing)


def quiet(_: str) -> None: ...


@pytest.fixture
def here(cncf_registry: str, distribution: Make, tmp_path: Path) -> Here:
    found = Here(cncf_registry, distribution, tmp_path / "checkout", f"t{uuid.uuid4().hex[:12]}")
    found.checkout.mkdir()
    found.write("1")
    return found


def located(found: Located | Missing) -> Located:
    assert isinstance(found, Located), found
    return found


def places(found: Located) -> Mapping[str, str]:
    return dict(found.where)


async def test_one_repository_serves_every_environment_and_nothing_is_copied(here: Here) -> None:
    project = here.project("all")
    release = await here.publish(project)
    platform_images, targets = here.platform_images(project), project.apps["API"].targets
    found = located(await platform_images.locate(targets["production"], release, targets["staging"]))
    assert places(found) == {"release": "target", "web": "target", "worker": "target"}
    assert await platform_images.stage(targets["production"], found, targets["staging"], quiet) == release
    pulled = {level: await platform_images.pulled(targets[level], release) for level in LEVELS}
    assert pulled["dev"] == pulled["staging"] == pulled["production"]
    assert {image.repository for image in pulled["dev"].values()} == {
        f"{here.host}/{here.place}/all/api/{process}" for process in ("web", "release", "worker")
    }
    assert {each: image.image_id for each, image in pulled["dev"].items()} == release.artifacts
    assert all(image.digest.value != image.image_id.value for image in pulled["dev"].values())


async def test_one_repository_of_an_environment_is_filled_by_publishing_and_by_promoting(here: Here) -> None:
    project = here.project("{env}")
    release = await here.publish(here.project("{env}", levels=LEVELS[:2]))
    platform_images, targets = here.platform_images(project), project.apps["API"].targets
    assert set((await platform_images.pulled(targets["staging"], release)).values())
    found = located(await platform_images.locate(targets["production"], release, targets["staging"]))
    assert places(found) == {"release": "source", "web": "source", "worker": "source"}
    with pytest.raises(ArtifactMissing, match="does not have API's image of"):
        await platform_images.pulled(targets["production"], release)
    await platform_images.stage(targets["production"], found, targets["staging"], quiet)
    pulled = await platform_images.pulled(targets["production"], release)
    assert {each: image.image_id for each, image in pulled.items()} == release.artifacts
    again = located(
        await here.platform_images(project).locate(targets["production"], release, targets["staging"])
    )
    assert set(again.where.values()) == {"target"}
    web = platform_images.repository(targets["production"], "web")
    assert await here.images.look_up(web, COMMIT) == pulled["web"]
    assert await here.images.look_up(web, LATEST) is None, "latest is the first environment's"


@pytest.mark.promise("P6")
async def test_an_image_is_found_by_its_id_after_its_commit_was_built_anew(here: Here) -> None:
    """P6. A rebuild takes the commit's tag and `latest`: what was recorded before must still be what runs."""
    project = here.project("all")
    before = await here.publish(project)
    here.write("2")
    after = await here.publish(project, rebuild=True)
    assert not before.artifacts.items() & after.artifacts.items()
    platform_images, target = here.platform_images(project), project.apps["API"].targets["staging"]
    for release in (before, after):
        found = located(await platform_images.locate(target, release, None))
        pulled = await platform_images.pulled(target, found.release)
        assert {each: image.image_id for each, image in pulled.items()} == release.artifacts


async def test_an_image_that_another_tool_pushed_is_found_by_its_tags_and_its_digest(here: Here) -> None:
    project = here.project("all")
    release = await here.publish(project)
    platform_images, target = here.platform_images(project), project.apps["API"].targets["dev"]
    other = replace(target, registry=f"{here.host}/{here.place}/other")
    web = platform_images.repository(other, "web")
    image = (await platform_images.pulled(target, release))["web"]
    await here.images.copy(image, web, "moved", quiet)
    by_digest = Release("API", COMMIT, {"web": RecordedId(image.digest.value)})
    found = located(await platform_images.locate(other, by_digest, None))
    assert found.release.artifacts == {"web": image.image_id}, "a manifest's digest is resolved"
    by_id = Release("API", COMMIT, {"web": image.image_id})
    assert isinstance(await platform_images.locate(other, by_id, None), Missing), (
        "no tag that is known leads to it"
    )
    await here.images.copy(image, web, COMMIT, quiet)
    for id_ in (RecordedId(image.image_id.value), image.image_id):
        found = located(await platform_images.locate(other, Release("API", COMMIT, {"web": id_}), None))
        assert found.release.artifacts == {"web": image.image_id}


async def test_publishing_again_gives_an_image_that_was_pushed_by_hand_its_id_as_a_tag(here: Here) -> None:
    project = here.project("all", levels=("dev",))
    release = await here.publish(project)
    platform_images, app = here.platform_images(project), project.apps["API"]
    by_hand = here.project("other", levels=("dev",))
    prebuilt = replace(by_hand.apps["API"], processes={"web": ProcessSource(image="example/api")})
    web = platform_images.repository(by_hand.apps["API"].targets["dev"], "web")
    image = (await platform_images.pulled(app.targets["dev"], release))["web"]
    await here.images.copy(image, web, COMMIT, quiet)
    publisher = Publisher(here.platform_images(by_hand), by_hand)
    published = await publisher.publish(prebuilt, COMMIT, here.checkout, quiet)
    assert published.artifacts == {"web": image.image_id}, "no engine is needed for what is there"
    assert await here.images.look_up(web, id_tag(image.image_id)) is not None


async def test_the_archive_has_what_a_repository_lost(here: Here) -> None:
    project = here.project("{env}", archive="kept")
    release = await here.publish(here.project("{env}", archive="kept", levels=("dev",)))
    platform_images, target = here.platform_images(project), project.apps["API"].targets["production"]
    found = located(await platform_images.locate(target, release, None))
    assert set(found.where.values()) == {"archive"}
    await platform_images.stage(target, found, None, quiet)
    assert {
        k: v.image_id for k, v in (await platform_images.pulled(target, release)).items()
    } == release.artifacts


async def test_a_missing_image_is_told_with_where_it_was_looked_for(here: Here) -> None:
    project = here.project("all")
    platform_images, targets = here.platform_images(project), project.apps["API"].targets
    release = Release("API", COMMIT, {"web": ImageId(f"sha256:{'a' * 64}")})
    missing = await platform_images.locate(targets["staging"], release, targets["dev"])
    assert isinstance(missing, Missing)
    assert "is not in observatory-staging's repository, under the tag" in missing.reason
    assert missing.hint == f"Push it again: docker push {here.host}/{here.place}/all/api/web:{COMMIT}"


async def test_an_app_without_a_registry_is_told_where_to_write_one(here: Here) -> None:
    project = here.project("all")
    bare = replace(project.apps["API"].targets["dev"], registry="")
    with pytest.raises(UsageError, match="the file names none") as caught:
        await here.platform_images(project).locate(
            bare, Release("API", COMMIT, {"web": ImageId(f"sha256:{'a' * 64}")}), None
        )
    assert "in [apps.API]" in caught.value.hint


async def test_doctor_tries_every_registry_and_the_archive(here: Here) -> None:
    project = here.project("{env}", archive="kept")
    found = probes(here.platform_images(project), list(project.apps["API"].targets.values()), "Swarm")
    assert [(probe.group, probe.what) for probe in found] == [("Swarm", "registry"), ("Swarm", "archive")]
    said = [(await probe.run()).said for probe in found]
    assert said[0] == "login works"
    assert "can be read" in said[1]


def test_a_record_that_names_one_of_two_sharing_types_is_completed(tmp_path: Path) -> None:
    app = App(
        "API",
        "swarm",
        "",
        {},
        {},
        processes={"web": ProcessSource(image="a"), "release": ProcessSource(image="a")},
    )
    image = ImageId(f"sha256:{'a' * 64}")
    assert complete(Release("API", COMMIT, {"web": image}), app).artifacts == {"web": image, "release": image}
