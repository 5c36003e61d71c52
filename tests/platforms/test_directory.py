"""Sites in directories of this machine: whole versions, one rename, and the way back."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock.changes import guarded
from liftlock.errors import ArtifactMissing, LeaseLost, LiftlockError, NotHealthy, ReleaseFailed, UsageError
from liftlock.model import (
    App,
    Environment,
    Known,
    Located,
    Missing,
    Project,
    RecordName,
    Release,
    SiteVersion,
    Target,
    Unknown,
)
from liftlock.platforms.directory import Directory
from liftlock.platforms.directory.content import contents
from liftlock.platforms.directory.site import Site
from liftlock.wiring import open_project

pytestmark = pytest.mark.anyio
COMMIT = "5" * 40
LEVELS = ("dev", "staging", "production")


class Rig:
    """A site's directories, a checkout to publish from, and the platform."""

    def __init__(self, folder: Path, platform: Directory, project: Project) -> None:
        self.folder, self.platform, self.project = folder, platform, project
        self.told: list[str] = []

    @property
    def app(self) -> App:
        return self.project.apps["Explore"]

    def root(self, level: str) -> Path:
        return self.folder / "www" / level / "explore"

    def target(self, level: str, **options: Any) -> Target:
        target = self.app.targets[level]
        return replace(target, health=options.pop("health", ""), options={**target.options, **options})

    def write(self, files: Mapping[str, str]) -> None:
        public = self.folder / "checkout" / "web" / "dist"
        shutil.rmtree(public, ignore_errors=True)
        for name, text in files.items():
            (public / name).parent.mkdir(parents=True, exist_ok=True)
            (public / name).write_text(text)

    async def publish(self, version: str = "1", **more: str) -> Release:
        self.write({"index.html": f"page {version}", "assets/app.js": f"script {version}", **more})
        return await self.platform.publish(self.app, COMMIT, self.folder / "checkout", self.told.append)

    async def locate(self, release: Release, level: str, source: str = "") -> Located:
        found = await self.platform.locate(
            self.target(level), release, self.target(source) if source else None
        )
        assert isinstance(found, Located), found
        return found

    async def lift(self, release: Release, level: str, source: str = "", **options: Any) -> bool:
        """Stage, release and settle; whether anything changed."""
        target = self.target(level, **options)
        found = await self.locate(release, level, source)
        origin = self.target(source) if source else None
        staged = await self.platform.stage(target, found, origin, self.told.append)
        switch = await self.platform.release(target, staged, self.told.append)
        await self.platform.settle(target, staged, switch, 0.0, self.told.append)
        return switch.changed

    async def running(self, level: str) -> Known:
        found = await self.platform.running(self.target(level), [])
        assert isinstance(found, Known), found
        return found

    def page(self, level: str) -> str:
        return (self.root(level) / "current" / "index.html").read_text()

    def versions(self, level: str) -> set[str]:
        return {path.name for path in (self.root(level) / "versions").iterdir()}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    targets = {
        level: Target(
            "Explore",
            level,
            "directory",
            f"www/{level}/explore",
            options={"folder": "web", "public": "dist", "keep": 2, "url": ""},
        )
        for level in LEVELS
    }
    for target in targets.values():
        (tmp_path / target.name).mkdir(parents=True)
    record = {level: RecordName("example/explore", "deploy:Explore", level) for level in LEVELS}
    project = Project(
        name="observatory",
        repository="example/services",
        ledger=f"sqlite:///{tmp_path}/ledger.db",
        settle_s=0.0,
        environments={level: Environment(level) for level in LEVELS},
        apps={"Explore": App("Explore", "directory", "example/explore", targets, record)},
        endpoints={},
        root=str(tmp_path),
    )
    async with open_project(project, environ={}) as adapters:
        platform = adapters.platforms["directory"]
        assert isinstance(platform, Directory)
        yield Rig(tmp_path, platform, project)


def site_of(release: Release) -> SiteVersion:
    version = release.artifacts["site"]
    assert isinstance(version, SiteVersion)
    return version


async def test_a_site_is_published_promoted_and_rolled_back(rig: Rig) -> None:
    first = await rig.publish("1")
    assert await rig.running("dev") == Known({}), "publishing serves nothing"
    for level, source in (("dev", ""), ("staging", "dev"), ("production", "staging")):
        found = await rig.locate(first, level, source)
        assert found.where == {"site": "target" if level == "dev" else "clone"}
        assert await rig.lift(first, level, source)
        assert (await rig.running(level)).artifacts == first.artifacts
    second = await rig.publish("2")
    assert await rig.lift(second, "dev")
    before = await rig.running("production")
    assert await rig.lift(second, "production", "dev")
    assert rig.page("production") == "page 2"
    await rig.platform.restore(rig.target("production"), before, rig.told.append, second)
    assert rig.page("production") == "page 1"
    assert await rig.running("production") == before
    assert not await rig.lift(first, "production"), "what is served already is not released again"


async def test_a_first_release_is_taken_back_to_nothing(rig: Rig) -> None:
    release = await rig.publish()
    before = await rig.running("dev")
    await rig.lift(release, "dev")
    await rig.platform.restore(rig.target("dev"), before, rig.told.append, release)
    assert await rig.running("dev") == Known({})
    assert not (rig.root("dev") / "current").exists()
    await rig.platform.restore(rig.target("dev"), before, rig.told.append, release)  # safe to repeat


async def test_the_digest_is_what_sha256sum_says(rig: Rig) -> None:
    release = await rig.publish("1", **{".well-known/a file": "x", "a/b.txt": "y", "a-b": "z"})
    assert "a-b" < "a/b.txt", "sorted by path, and not folder by folder"
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    version = rig.root("dev") / "versions" / site_of(release).content
    said = await anyio.run_process(["sh", "-c", command], cwd=version)
    assert said.stdout.decode().split()[0] == site_of(release).content


@pytest.mark.promise("P6")
async def test_a_copy_that_is_not_the_same_is_never_released(rig: Rig) -> None:
    """P6. Somebody changes a file of the source's version in place: by its name it is still the same."""
    release = await rig.publish()
    await rig.lift(release, "dev")
    changed = rig.root("dev") / "versions" / site_of(release).content / "index.html"
    found = await rig.locate(release, "staging", "dev")
    changed.chmod(0o644)
    changed.write_text("page, mended by hand")
    assert isinstance(await rig.platform.locate(rig.target("staging"), release, rig.target("dev")), Missing)
    with pytest.raises(ArtifactMissing, match="is no longer where it was"):
        await rig.platform.stage(rig.target("staging"), found, rig.target("dev"), rig.told.append)
    assert await rig.running("staging") == Known({})


@pytest.mark.promise("P1")
async def test_what_is_served_is_told_by_what_it_holds_and_not_by_its_name(rig: Rig) -> None:
    """P1. A version that was changed in place is drift, although every link is as it was."""
    release = await rig.publish()
    await rig.lift(release, "dev")
    changed = rig.root("dev") / "versions" / site_of(release).content / "index.html"
    changed.chmod(0o644)
    changed.write_text("page, mended by hand")
    running = await rig.running("dev")
    assert running.artifacts != release.artifacts
    assert "was changed in place" in running.note
    with pytest.raises(NotHealthy, match="is served, and not"):
        await rig.platform.settle(
            rig.target("dev"),
            release,
            await rig.platform.release(rig.target("dev"), release, rig.told.append),
            0.0,
            rig.told.append,
        )


async def test_what_somebody_put_there_by_hand_is_kept_and_gone_back_to(rig: Rig) -> None:
    by_hand = rig.root("dev") / "releases" / "2024"
    by_hand.mkdir(parents=True)
    (by_hand / "index.html").write_text("page of 2024")
    (by_hand / "latest").symlink_to("index.html")
    (rig.root("dev") / "current").symlink_to("releases/2024")
    before = await rig.running("dev")
    release = await rig.publish()
    await rig.lift(release, "dev")
    shutil.rmtree(by_hand)
    await rig.platform.restore(rig.target("dev"), before, rig.told.append, release)
    assert rig.page("dev") == "page of 2024"
    assert (await rig.running("dev")).artifacts == before.artifacts


async def test_a_changed_version_is_mended_by_releasing_it_again(rig: Rig) -> None:
    release = await rig.publish()
    for level in ("dev", "staging"):
        await rig.lift(release, level, "dev")
    changed = rig.root("staging") / "versions" / site_of(release).content / "index.html"
    changed.chmod(0o644)
    changed.write_text("page, mended by hand")
    edited = await rig.running("staging")
    await rig.lift(release, "staging", "dev")
    assert rig.page("staging") == "page 1"
    await rig.platform.restore(rig.target("staging"), edited, rig.told.append, release)
    assert rig.page("staging") == "page, mended by hand", "an undo goes back to what ran, whoever made it"


async def test_the_last_versions_that_were_served_are_kept_and_linked_in_order(rig: Rig) -> None:
    releases = []
    for number in range(5):
        releases.append(await rig.publish(str(number)))
        await rig.lift(releases[-1], "dev")
        age(rig, "dev")

    def recent() -> list[str]:
        folder = rig.root("dev") / "recent"
        return [(link / "index.html").read_text() for link in sorted(folder.iterdir())]

    assert recent() == ["page 3", "page 2"]
    await rig.lift(releases[3], "dev")
    assert recent() == ["page 4", "page 3"]
    age(rig, "dev")
    await rig.lift(releases[4], "dev")
    assert rig.versions("dev") == {site_of(release).content for release in releases[3:]}
    assert isinstance(await rig.platform.locate(rig.target("dev"), releases[0], None), Missing)


async def test_a_version_that_was_only_staged_lately_is_spared(rig: Rig) -> None:
    first = await rig.publish("1")
    age(rig, "dev")
    await rig.platform.stage(rig.target("dev"), await rig.locate(first, "dev"), None, rig.told.append)
    second = await rig.publish("2")
    await rig.lift(second, "dev")
    assert site_of(first).content in rig.versions("dev")
    age(rig, "dev")
    await rig.lift(second, "dev")
    assert site_of(first).content not in rig.versions("dev")


async def test_a_version_that_the_target_lost_is_taken_from_another_environment(rig: Rig) -> None:
    first = await rig.publish("1")
    await rig.lift(first, "dev")
    await rig.lift(first, "production", "dev")
    shutil.rmtree(rig.root("production") / "versions" / site_of(first).content)
    assert (await rig.running("production")) == Known({}), "a link to nothing serves nothing"
    assert (await rig.locate(first, "production")).where == {"site": "clone"}
    assert await rig.lift(first, "production") is False, "the link led there already"
    assert rig.page("production") == "page 1"


async def test_a_directory_that_is_not_on_this_machine_is_never_made(rig: Rig) -> None:
    release = await rig.publish()
    shutil.rmtree(rig.root("staging"))
    found = await rig.platform.running(rig.target("staging"), [])
    assert isinstance(found, Unknown)
    assert "is not on this machine" in found.reason
    with pytest.raises(UsageError, match="is not on this machine"):
        await rig.platform.stage(
            rig.target("staging"), Located(release, {}), rig.target("dev"), rig.told.append
        )
    assert not rig.root("staging").exists()


async def test_a_current_that_is_no_link_is_left_alone(rig: Rig) -> None:
    release = await rig.publish()
    (rig.root("dev") / "current").mkdir()
    (rig.root("dev") / "current" / "index.html").write_text("theirs")
    assert isinstance(await rig.platform.running(rig.target("dev"), []), Unknown)
    with pytest.raises(LiftlockError, match="current is no link"):
        await rig.platform.stage(rig.target("dev"), Located(release, {}), None, rig.told.append)
    with pytest.raises(ReleaseFailed, match="current is no link"):
        await rig.platform.release(rig.target("dev"), release, rig.told.append)
    assert rig.page("dev") == "theirs"


async def test_a_record_of_another_platform_is_told_as_one(rig: Rig) -> None:
    of_firebase = Release("Explore", COMMIT, {"site": SiteVersion("sites/explore/versions/1f", "a" * 64)})
    found = await rig.platform.locate(rig.target("dev"), of_firebase, None)
    assert isinstance(found, Missing)
    assert "names no version of a directory (sites/explore/versions/1f)" in found.reason
    assert "another platform" in found.hint
    nothing = await rig.platform.locate(rig.target("dev"), Release("Explore", COMMIT, {}), None)
    assert isinstance(nothing, Missing)


async def test_a_record_without_a_version_means_what_is_served(rig: Rig) -> None:
    bare = Release("Explore", COMMIT, {})
    with pytest.raises(ArtifactMissing, match="nothing is served there"):
        await rig.platform.pin(rig.target("dev"), bare)
    release = await rig.publish()
    await rig.lift(release, "dev")
    assert await rig.platform.pin(rig.target("dev"), bare) == release
    assert await rig.platform.pin(rig.target("staging"), release) == release


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_link_out_of_the_checkout_is_not_published(rig: Rig, kind: str) -> None:
    (rig.folder / "secret").mkdir()
    (rig.folder / "secret" / "key.pem").write_text("hunter2")
    rig.write({"index.html": "page"})
    public = rig.folder / "checkout" / "web" / "dist"
    (public / "leak").symlink_to(rig.folder / "secret" / ("key.pem" if kind == "file" else ""))
    with pytest.raises(UsageError, match="outside of the checkout"):
        await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append)


async def test_the_history_of_the_code_is_not_published_and_inner_links_are_followed(rig: Rig) -> None:
    rig.write({"index.html": "page", ".git/config": "secret", "real/a.txt": "a"})
    public = rig.folder / "checkout" / "web" / "dist"
    (public / "linked").symlink_to("real")
    (public / "real" / "round").symlink_to("..")
    release = await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append)
    version = rig.root("dev") / "versions" / site_of(release).content
    names = {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    assert ".git/config" not in names
    assert names >= {"index.html"}
    assert names & {"real/a.txt", "linked/a.txt"}
    assert not any(path.is_symlink() for path in version.rglob("*"))


async def test_a_folder_that_was_not_built_is_told(rig: Rig) -> None:
    with pytest.raises(UsageError, match="has no folder web/dist with its files"):
        await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append)
    (rig.folder / "checkout" / "web" / "dist").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no file"):
        await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append)


async def test_a_release_is_healthy_when_its_address_answers(rig: Rig) -> None:
    release = await rig.publish()
    with answering([503, 503, 200]) as (base, asked):
        await rig.lift(release, "dev", health="/up", url=base)
        assert asked == ["/up"] * 3
    with answering([404]) as (base, asked), pytest.raises(NotHealthy, match=r"/up answers 404"):
        await rig.lift(release, "dev", health="/up", url=base, health_s=0.2)


async def test_a_site_that_somebody_else_switches_meanwhile_is_not_healthy(rig: Rig) -> None:
    first, second = await rig.publish("1"), await rig.publish("2")
    target = rig.target("dev")
    switch = await rig.platform.release(target, first, rig.told.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.platform.release, target, second, rig.told.append)
        with pytest.raises(NotHealthy, match="by somebody else"):
            await rig.platform.settle(target, first, switch, 5.0, rig.told.append)


@pytest.mark.promise("P3")
@pytest.mark.parametrize("change", ["stage", "release", "restore", "empty"])
async def test_nothing_is_changed_without_leave(rig: Rig, change: str) -> None:
    """P3. The lease was lost meanwhile."""
    first, second = await rig.publish("1"), await rig.publish("2")
    await rig.lift(first, "dev")
    target = rig.target("dev")
    before = sorted(rig.root("dev").rglob("*"))

    async def refuse(lasts_s: float) -> None:
        raise LeaseLost(f"no lease for {lasts_s} s")

    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "stage": lambda: rig.platform.stage(target, Located(second, {}), None, rig.told.append),
        "release": lambda: rig.platform.release(target, second, rig.told.append),
        "restore": lambda: rig.platform.restore(target, Known(second.artifacts), rig.told.append),
        "empty": lambda: rig.platform.restore(target, Known({}), rig.told.append),
    }
    with guarded(refuse), pytest.raises(LeaseLost):
        await changes[change]()
    assert rig.page("dev") == "page 1"
    assert sorted(rig.root("dev").rglob("*")) == before


async def test_doctor_says_what_each_directory_serves_and_what_to_mend(rig: Rig) -> None:
    release = await rig.publish()
    await rig.lift(release, "dev")
    shutil.rmtree(rig.root("production"))
    (rig.root("staging") / "current").mkdir()
    dev, staging, production = rig.platform.probes()
    assert (dev.group, dev.what) == ("Directories", "www/dev/explore (Explore in dev)")
    found = await dev.run()
    assert found.said == f"there, serves {site_of(release).content[:12]}, 1 version kept"
    assert not found.note
    with pytest.raises(LiftlockError, match="current is no link"):
        await staging.run()
    with pytest.raises(UsageError, match="is not on this machine") as caught:
        await production.run()
    assert "install -d" in caught.value.hint


async def test_many_at_once_make_one_version_and_one_of_them_is_served(rig: Rig) -> None:
    rig.write({"index.html": "page", **{f"assets/{number}.js": str(number) for number in range(50)}})
    results: list[Release] = []

    async def one() -> None:
        results.append(await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append))
        await rig.platform.release(rig.target("dev"), results[-1], rig.told.append)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(one)
    assert len({site_of(release).content for release in results}) == 1
    assert rig.versions("dev") == {site_of(results[0]).content}
    assert (await rig.running("dev")).artifacts == results[0].artifacts


CRASH = """
import itertools, os, shutil, sys
from pathlib import Path
from liftlock.platforms.directory import content, site

spare, worlds, files, dies = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "dies"
calls = 0
def counted(real):
    def call(*args, **options):
        global calls
        calls += 1
        if dies and calls == moment:
            os._exit(9)
        return real(*args, **options)
    return call
for name in ("rename", "replace", "symlink_to", "mkdir", "unlink", "chmod"):
    setattr(Path, name, counted(getattr(Path, name)))
content.sync = site.sync = counted(content.sync)

for moment in itertools.count(1):
    world = worlds / str(moment)
    if dies:
        shutil.copytree(spare, world, symlinks=True)
    elif not world.exists():
        break
    child = os.fork()
    if not child:
        calls = 0
        here = site.Site(world)
        here.keep_served()
        here.prune(2)
        here.switch(here.add(content.tree_files(files)), 2)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and dies:
        break
"""


@pytest.mark.promise("P5")
@pytest.mark.parametrize("wanted", ["3", "0"], ids=["a new version", "the oldest that is kept"])
async def test_a_crash_at_any_moment_leaves_whole_versions_and_every_page_its_assets(
    rig: Rig, wanted: str
) -> None:
    """P5. The process dies before each change of the file system in turn; then it is run again."""
    for version in "012":
        await rig.lift(await rig.publish(version, **{f"assets/{version}.js": version}), "dev")
    rig.write(
        {
            "index.html": f"page {wanted}",
            "assets/app.js": f"script {wanted}",
            f"assets/{wanted}.js": wanted,
        }
    )
    files = rig.folder / "checkout" / "web" / "dist"
    script, worlds = rig.folder / "crash.py", rig.folder / "worlds"
    script.write_text(CRASH)
    command = [sys.executable, str(script), str(rig.root("dev")), str(worlds), str(files)]
    await anyio.run_process([*command, "dies"])
    served = []
    for world in sorted(worlds.iterdir(), key=lambda path: int(path.name)):
        found = Site(world).served()
        assert found is not None
        assert found.is_intact
        served.append((found.folder / "index.html").read_text())
        assert find_asset(world, "assets/app.js").startswith("script")
        shown = {"page 2": "2", f"page {wanted}": wanted}[served[-1]]
        for version in {"1", "2", shown, *({"0"} if wanted == "0" else ())}:
            assert find_asset(world, f"assets/{version}.js") == version, f"{version} in {world.name}"
        for folder in (world / "versions").iterdir():
            if not folder.name.startswith("."):
                assert contents(folder).digest == folder.name, "a name always means a whole version"
    assert len(served) > 10
    assert set(served) == {"page 2", f"page {wanted}"}
    assert served == sorted(served, key=f"page {wanted}".__eq__), "one of the changes is the switch"
    await anyio.run_process([*command, "finishes"])
    for world in worlds.iterdir():
        assert (world / "current" / "index.html").read_text() == f"page {wanted}"
        assert (world / "recent" / "1" / "index.html").read_text() == "page 2"
        for version in {*"12", wanted}:
            assert find_asset(world, f"assets/{version}.js") == version


def find_asset(site: Path, name: str) -> str:
    """A page's asset where a web server looks for it; "" when it is nowhere."""
    for place in ("current", "recent/1", "recent/2", "next"):
        try:
            return (site / place / name).read_text()
        except FileNotFoundError:
            continue
    return ""


def age(rig: Rig, level: str) -> None:
    """Let a week pass over every version."""
    for version in (rig.root(level) / "versions").iterdir():
        os.utime(version, (time.time() - 7 * 86400,) * 2)


@contextmanager
def answering(statuses: list[int]) -> Any:
    """A web server that answers with these, the last one for ever; its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
