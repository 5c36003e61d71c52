"""Where images are found, how they get to the target, and how they are published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from liftlock.errors import ArtifactMissing
from liftlock.model import ImageId, Located, Missing, ProcessSource, RecordedId, Release
from tests.platforms.world import COMMIT, IMAGE, World, container_app, located, simulate

WEB = {"web": IMAGE}


def test_image_under_the_commit_tag_is_found_with_one_request_for_each_process_type() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        found = await world.heroku.locate(world.target("ODB", "staging"), release, world.target("ODB", "dev"))
        assert found == located(release)
        assert len(world.requests("registry")) <= 2 * len(release.artifacts)

    simulate(story)


def test_image_under_latest_is_found_at_the_target() -> None:
    async def story(world: World) -> None:
        image = world.image("odb-staging/web", "1", tags=("latest",))
        release = Release("ODB", COMMIT, {"web": image})
        assert await world.heroku.locate(world.target("ODB", "staging"), release, None) == located(release)

    simulate(story, container_app(processes=WEB))


def test_image_without_a_tag_is_found_by_its_config() -> None:
    async def story(world: World) -> None:
        image = world.image("odb-staging/web", "1", tags=())
        release = Release("ODB", COMMIT, {"web": image})
        assert await world.heroku.locate(world.target("ODB", "staging"), release, None) == located(release)

    simulate(story, container_app(processes=WEB))


@pytest.mark.promise("P6")
def test_tag_that_moved_to_another_image_does_not_count() -> None:
    """P6: content decides, never a tag."""

    async def story(world: World) -> None:
        wanted = world.image("odb-dev/web", "1")
        world.image("odb-staging/web", "another")
        release = Release("ODB", COMMIT, {"web": wanted})
        target, source = world.target("ODB", "staging"), world.target("ODB", "dev")
        assert await world.heroku.locate(target, release, source) == located(release, "source")

    simulate(story, container_app(processes=WEB))


@pytest.mark.promise("P6")
@pytest.mark.parametrize("which", ["image id", "digest"])
def test_id_of_another_tool_is_resolved_whichever_it_is(which: str) -> None:
    async def story(world: World) -> None:
        image = world.image("odb-staging/web", "1")
        found = await world.adapters.platforms["heroku"]._platform_images.images.look_up(  # type: ignore[attr-defined]
            "sandbox.localhost/odb-staging/web", COMMIT
        )
        recorded = RecordedId(image.value if which == "image id" else found.digest.value)
        release = Release("ODB", COMMIT, {"web": recorded})
        resolved = await world.heroku.locate(world.target("ODB", "staging"), release, None)
        assert resolved == located(Release("ODB", COMMIT, {"web": image}))

    simulate(story, container_app(processes=WEB))


def test_digest_of_another_tool_is_found_when_the_tags_moved_on() -> None:
    async def story(world: World) -> None:
        image = world.image("odb-staging/web", "1")
        platform_images = world.heroku._platform_images
        found = await platform_images.images.look_up("sandbox.localhost/odb-staging/web", COMMIT)
        world.image("odb-staging/web", "another")
        release = Release("ODB", COMMIT, {"web": RecordedId(found.digest.value)})
        resolved = await world.heroku.locate(world.target("ODB", "staging"), release, None)
        assert isinstance(resolved, Located)
        assert resolved.release.artifacts == {"web": image}

    simulate(story, container_app(processes=WEB))


def test_image_that_is_nowhere_is_missing_and_says_where_it_was_looked_for() -> None:
    async def story(world: World) -> None:
        release = Release("ODB", COMMIT, {"web": ImageId("sha256:" + "ab" * 32)})
        missing = await world.heroku.locate(
            world.target("ODB", "staging"), release, world.target("ODB", "dev")
        )
        assert isinstance(missing, Missing)
        assert "is not in odb-staging's repository, odb-dev's" in missing.reason
        assert missing.hint == f"Push it again: docker push sandbox.localhost/odb-staging/web:{COMMIT}"

    simulate(story, container_app(processes=WEB))


def test_registry_that_cannot_be_asked_leaves_the_image_unproved() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        world.fault(
            vendor="registry", action="status", status=405, body={"errors": [{"code": "UNSUPPORTED"}]}
        )
        found = await world.heroku.locate(world.target("ODB", "staging"), release, None)
        assert isinstance(found, Located)
        assert found.where == {"web": "unproved"}
        assert found.release.artifacts == release.artifacts
        assert "web: its image could not be looked at" in found.note

    simulate(story, container_app(processes=WEB))


def test_staging_an_image_that_is_there_asks_nobody() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        target = world.target("ODB", "staging")
        assert await world.heroku.stage(target, located(release), None, world.progress) == release
        assert world.requests() == []

    simulate(story)


@pytest.mark.promise("P6")
def test_image_is_copied_from_the_source_and_then_released() -> None:
    async def story(world: World) -> None:
        image = world.image("odb-dev/web", "1")
        release = Release("ODB", COMMIT, {"web": image})
        target, source = world.target("ODB", "staging"), world.target("ODB", "dev")
        found = await world.heroku.locate(target, release, source)
        assert await world.heroku.stage(target, found, source, world.progress) == release
        await world.run(release)
        assert await world.heroku.locate(target, release, None) == located(release)

    simulate(story, container_app(processes=WEB))


def test_staging_after_a_crash_looks_again() -> None:
    async def story(world: World) -> None:
        image = world.image("odb-dev/web", "1")
        release = Release("ODB", COMMIT, {"web": image})
        target, source = world.target("ODB", "staging"), world.target("ODB", "dev")
        for _ in range(2):
            await world.heroku.stage(target, located(release, "source"), source, world.progress)
        assert await world.heroku.locate(target, release, None) == located(release)

    simulate(story, container_app(processes=WEB))


def test_image_that_only_another_process_type_has_is_copied_to_its_own_repository() -> None:
    """Scripts push ODB's image as web; its `release` process type runs the same one."""

    async def story(world: World) -> None:
        image = world.image("odb-staging/web", "1")
        release = Release("ODB", COMMIT, {"web": image, "release": image})
        target = world.target("ODB", "staging")
        found = await world.heroku.locate(target, release, None)
        assert found.where == {"web": "target", "release": "source"}
        await world.heroku.stage(target, found, None, world.progress)
        await world.run(release)

    simulate(story, container_app(processes={"web": IMAGE, "release": IMAGE}))


def test_pin_completes_a_record_that_lacks_a_process_type_of_the_same_image() -> None:
    async def story(world: World) -> None:
        image = ImageId("sha256:" + "ab" * 32)
        pinned = await world.heroku.pin(world.target("ODB", "dev"), Release("ODB", COMMIT, {"web": image}))
        assert pinned.artifacts == {"web": image, "release": image}
        assert world.requests() == []

    simulate(story, container_app(processes={"web": IMAGE, "release": IMAGE}))


def test_pin_refuses_a_record_that_lacks_a_process_type_of_its_own_image() -> None:
    async def story(world: World) -> None:
        release = Release("ODB", COMMIT, {"web": ImageId("sha256:" + "ab" * 32)})
        with pytest.raises(ArtifactMissing, match="names no image for obscalc") as caught:
            await world.heroku.pin(world.target("ODB", "dev"), release)
        assert "Deploy ODB again" in caught.value.hint

    obscalc = ProcessSource(dockerfile="obscalc/Dockerfile")
    simulate(story, container_app(processes={"web": IMAGE, "obscalc": obscalc}))


def test_publish_builds_each_directory_once_and_pushes_it_to_every_environment(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "app.py").write_text("print('hello')\n")
    source = ProcessSource(directory="service", command=("python3", "app.py"))

    async def story(world: World) -> None:
        app = world.project.apps["ODB"]
        release = await world.heroku.publish(app, COMMIT, tmp_path, world.progress)
        assert release.artifacts["web"] == release.artifacts["release"]
        assert release.artifacts["web"] != release.artifacts["worker"]
        for environment in ("dev", "staging"):
            assert await world.heroku.locate(world.target("ODB", environment), release, None) == located(
                release
            )
        look_up = world.heroku._platform_images.images.look_up
        assert await look_up("sandbox.localhost/odb-dev/web", "latest") is not None
        assert await look_up("sandbox.localhost/odb-staging/web", "latest") is None

    worker = replace(source, command=("python3", "app.py", "worker"))
    app = container_app(processes={"web": source, "release": source, "worker": worker})
    simulate(story, app, real_time=True)


def test_published_image_is_archived_and_found_there_when_the_platform_has_lost_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("print('hello')\n")
    source = ProcessSource(directory=".", command=("python3", "app.py"))

    async def story(world: World) -> None:
        app = world.project.apps["ODB"]
        release = await world.heroku.publish(app, COMMIT, tmp_path, world.progress)
        look_up = world.heroku._platform_images.images.look_up
        archived = await look_up("sandbox.localhost/archive/odb/web", COMMIT)
        assert archived is not None
        assert archived.image_id == release.artifacts["web"]
        lost = replace(world.target("ODB", "staging"), name="odb-other")
        found = await world.heroku.locate(lost, release, None)
        assert found == located(release, "archive")

    app = container_app(processes={"web": source})
    simulate(story, app, archive="sandbox.localhost/archive", real_time=True)


def test_publish_finds_images_that_were_pushed_and_names_the_lines_for_those_that_were_not() -> None:
    async def story(world: World) -> None:
        app = world.project.apps["ODB"]
        with pytest.raises(ArtifactMissing) as caught:
            await world.heroku.publish(app, COMMIT, Path(), world.progress)
        repository = f"sandbox.localhost/odb-dev/web:{COMMIT}"
        assert caught.value.hint == (
            f"Push it: docker tag example/service {repository} && docker push {repository}"
        )
        image = world.image("odb-dev/web", "1")
        release = await world.heroku.publish(app, COMMIT, Path(), world.progress)
        assert release == Release("ODB", COMMIT, {"web": image})

    simulate(story, container_app(processes=WEB))
