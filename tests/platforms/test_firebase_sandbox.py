"""Firebase's verbs against the sandbox: content decides, a clone is proved, a lost answer is looked after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock.errors import ArtifactMissing, NotHealthy, ReleaseFailed
from liftlock.model import Known, Located, Missing, Release, SiteVersion
from tests.platforms.world import COMMIT, World, located, simulate, site_app

CONFIG = {"cleanUrls": True, "rewrites": [{"source": "**", "destination": "/index.html"}]}


def site(folder: Path, text: str = "hello", **hosting: Any) -> Path:
    """A front end's checkout, built."""
    public = folder / "dist"
    (public / "assets").mkdir(parents=True, exist_ok=True)
    (public / "index.html").write_text(f"<h1>{text}</h1>\n")
    (public / "assets" / "app.js").write_text("console.log('hello')\n")
    (public / ".secret").write_text("not to be published\n")
    block = {"public": "dist", "ignore": ["firebase.json", "**/.*", "**/node_modules/**"]} | CONFIG | hosting
    (folder / "firebase.json").write_text(json.dumps({"hosting": block}))
    return folder


def tell(simulated: Any, **more: Any) -> None:
    simulate(simulated, site_app(), **more)


async def published(world: World, folder: Path, text: str = "hello", commit: str = COMMIT) -> Release:
    app = world.project.apps["Explore"]
    release = await world.firebase.publish(app, commit, site(folder, text), world.progress)
    assert isinstance(release, Release)
    return release


async def lifted(world: World, release: Release) -> Release:
    """The release, staged, released and settled in staging."""
    target, source = world.target("Explore", "staging"), world.target("Explore", "dev")
    staged = await world.firebase.stage(target, located(release, "clone"), source, world.progress)
    switch = await world.firebase.release(target, staged, world.progress)
    await world.firebase.settle(target, staged, switch, 0.0, world.progress)
    assert isinstance(staged, Release)
    return staged


def writes(world: World) -> list[str]:
    return [path for method, path in world.requests("firebase") if method != "GET"]


def test_site_that_was_never_released_runs_nothing() -> None:
    async def story(world: World) -> None:
        assert await world.firebase.running(world.target("Explore", "staging"), ()) == Known({})

    tell(story)


def test_published_version_has_the_files_and_configuration_of_the_checkout(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        version = release.artifacts["site"]
        assert isinstance(version, SiteVersion)
        assert version.name.startswith("sites/explore-dev/versions/")
        kept = world.cloud.store.table("firebase.versions").get(version.name)
        assert kept is not None
        assert kept["status"] == "FINALIZED"
        assert kept["config"] == {"cleanUrls": True, "rewrites": [{"glob": "**", "path": "/index.html"}]}
        files = world.cloud.store.table("firebase.files").get(version.name)
        assert sorted(files or {}) == ["/assets/app.js", "/index.html"]
        assert await world.firebase.running(world.target("Explore", "dev"), ()) == Known({})

    tell(story)


def test_publishing_again_uploads_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first = await published(world, tmp_path)
        world.cloud.log.clear()
        assert await published(world, tmp_path) == first
        assert writes(world) == []
        await published(world, tmp_path, commit="6" * 40)
        assert [path for path in writes(world) if path.startswith("/upload")] == []
        await published(world, tmp_path, "changed", commit="7" * 40)
        assert len([path for path in writes(world) if path.startswith("/upload")]) == 1

    tell(story)


def test_version_is_cloned_proved_and_released(tmp_path: Path) -> None:
    """P6: the clone has another name and the same content."""

    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        target = world.target("Explore", "staging")
        staged = await lifted(world, release)
        one, other = release.artifacts["site"], staged.artifacts["site"]
        assert isinstance(one, SiteVersion)
        assert isinstance(other, SiteVersion)
        assert one.name != other.name
        assert one.content == other.content != ""
        assert await world.firebase.running(target, ()) == Known({"site": other}, marker=other.short)
        releases = world.cloud.vendors["firebase"].observe(world.cloud)["sites"]["explore-staging"][
            "releases"
        ]
        assert len(releases) == 1

    tell(story, clone_s=3.0)


def test_clone_of_an_interrupted_run_is_taken_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        await lifted(world, release)
        clones = [path for path in writes(world) if path.endswith(":clone")]
        again = await lifted(world, release)
        assert [path for path in writes(world) if path.endswith(":clone")] == clones
        running = await world.firebase.running(world.target("Explore", "staging"), ())
        assert isinstance(running, Known)
        assert running.artifacts == again.artifacts

    tell(story)


def test_version_of_the_same_size_and_other_content_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first = await lifted(world, await published(world, tmp_path, "aaaaa"))
        second = await lifted(world, await published(world, tmp_path, "bbbbb", commit="6" * 40))
        sizes = {
            (kept or {})["versionBytes"]
            for kept in map(
                world.cloud.store.table("firebase.versions").get,
                (str(r.artifacts["site"]) for r in (first, second)),
            )
        }
        assert len(sizes) == 1
        assert first.artifacts != second.artifacts

    tell(story)


def test_clone_that_differs_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        world.fault(
            vendor="firebase",
            path="sites/explore-staging/versions/.*/files",
            action="body",
            body={"files": []},
        )
        with pytest.raises(ArtifactMissing, match="is not the same as"):
            await lifted(world, release)

    tell(story)


def test_version_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        version = (await published(world, tmp_path)).artifacts["site"]
        planned = Release("Explore", COMMIT, {"site": SiteVersion(str(version), "0" * 64)})
        with pytest.raises(ArtifactMissing, match="is not what was planned"):
            await lifted(world, planned)

    tell(story)


def test_release_that_is_live_already_changes_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        staged = await lifted(world, await published(world, tmp_path))
        target = world.target("Explore", "staging")
        switch = await world.firebase.release(target, staged, world.progress)
        assert not switch.changed

    tell(story)


@pytest.mark.parametrize(("action", "posts"), [("lost", 1), ("reset", 2), ("status", 2)])
def test_lost_answer_to_a_release_is_resolved_by_looking(tmp_path: Path, action: str, posts: int) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        world.fault(vendor="firebase", method="POST", path="/releases", action=action, status=500, times=1)
        await lifted(world, release)
        assert len([path for path in writes(world) if "/releases?" in path]) == posts

    tell(story)


def test_failing_release_is_reported_and_nothing_switched(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        world.fault(vendor="firebase", method="POST", path="/releases", action="status", status=500)
        with pytest.raises(ReleaseFailed, match="in 3 attempts"):
            await lifted(world, release)
        assert await world.firebase.running(world.target("Explore", "staging"), ()) == Known({})

    tell(story)


def test_restore_goes_back_to_the_version_before(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        target = world.target("Explore", "staging")
        await lifted(world, await published(world, tmp_path))
        before = await world.firebase.running(target, ())
        await lifted(world, await published(world, tmp_path, "new", commit="6" * 40))
        await world.firebase.restore(target, before, world.progress)
        assert await world.firebase.running(target, ()) == before

    tell(story)


def test_restore_of_a_first_release_disables_the_site(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        target = world.target("Explore", "staging")
        before = await world.firebase.running(target, ())
        await lifted(world, await published(world, tmp_path))
        for _ in range(2):
            await world.firebase.restore(target, before, world.progress)
        assert await world.firebase.running(target, ()) == Known({})
        assert world.cloud.vendors["firebase"].observe(world.cloud)["sites"]["explore-staging"]["disabled"]

    tell(story)


def test_settle_sees_somebody_else_release(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        target, source = world.target("Explore", "staging"), world.target("Explore", "dev")
        other = await lifted(world, await published(world, tmp_path))
        release = await published(world, tmp_path, "new", commit="6" * 40)
        staged = await world.firebase.stage(target, located(release, "clone"), source, world.progress)
        switch = await world.firebase.release(target, staged, world.progress)

        async def release_other() -> None:
            await anyio.sleep(10.0)
            name = str(other.artifacts["site"])
            async with world.client() as client:
                await client.post(f"/v1beta1/sites/{target.name}/channels/live/releases?versionName={name}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release_other)
            with pytest.raises(NotHealthy, match="did not stay on"):
                await world.firebase.settle(target, staged, switch, 30.0, world.progress)

    tell(story)


def test_record_without_a_version_is_pinned_to_what_is_live_in_the_source(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        source = world.target("Explore", "dev")
        unnamed = Release("Explore", COMMIT, {})
        with pytest.raises(ArtifactMissing, match="names no version, and the site explore-dev serves none"):
            await world.firebase.pin(source, unnamed)
        await world.firebase.release(source, release, world.progress)
        assert await world.firebase.pin(source, unnamed) == release

    tell(story)


def test_recorded_version_is_pinned_with_its_content_even_when_another_is_live(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        recorded = await published(world, tmp_path)
        source = world.target("Explore", "dev")
        live = await published(world, tmp_path, "new", commit="6" * 40)
        await world.firebase.release(source, live, world.progress)
        named = SiteVersion("projects/observatory/" + str(recorded.artifacts["site"]))
        assert await world.firebase.pin(source, Release("Explore", COMMIT, {"site": named})) == recorded
        assert await world.firebase.pin(source, recorded) is recorded

    tell(story)


def test_version_is_located_where_it_is_or_missing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        release = await published(world, tmp_path)
        dev, staging = world.target("Explore", "dev"), world.target("Explore", "staging")
        assert await world.firebase.locate(staging, release, dev) == Located(release, {"site": "clone"})
        assert await world.firebase.locate(dev, release, None) == Located(release, {"site": "target"})
        async with world.client() as client:
            await client.delete(f"/v1beta1/{release.artifacts['site']}")
        deleted = await world.firebase.locate(staging, release, dev)
        assert isinstance(deleted, Missing)
        assert "it is DELETED" in deleted.reason
        gone = Release("Explore", COMMIT, {"site": SiteVersion("sites/explore-dev/versions/none")})
        assert isinstance(await world.firebase.locate(staging, gone, dev), Missing)

    tell(story)


@pytest.mark.parametrize(
    "name", ["sites/x/versions/../../../v1/projects", "sites/x/versions/1?alt=media", "/x"]
)
def test_a_name_that_is_no_versions_is_never_asked_for(name: str) -> None:
    async def story(world: World) -> None:
        target = world.target("Explore", "staging")
        release = Release("Explore", COMMIT, {"site": SiteVersion(name, "c" * 64)})
        assert isinstance(await world.firebase.locate(target, release, None), Missing)
        assert not [
            path for _, path in world.requests("firebase") if "sites/x" in path or path.endswith("//x")
        ]

    tell(story)


def test_running_takes_two_round_trips(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await lifted(world, await published(world, tmp_path))
        world.fault(vendor="firebase", action="delay", delay_s=1.0)
        began = anyio.current_time()
        await world.firebase.running(world.target("Explore", "staging"), ())
        assert anyio.current_time() - began == pytest.approx(2.0, abs=0.01)

    tell(story)
