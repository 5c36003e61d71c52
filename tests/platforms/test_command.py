"""Command apps: run at a recorded commit, with only what they list, and never for ever."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.errors import NotFound, NotHealthy, ReleaseFailed, UsageError
from liftlock.model import (
    EMPTY,
    App,
    Check,
    Commit,
    CommitId,
    Known,
    Located,
    Missing,
    RecordName,
    Release,
    Target,
    Unknown,
)
from liftlock.platforms.command import Command
from liftlock.programs import run
from tests.platforms.world import COMMIT, context_of, project_of

pytestmark = pytest.mark.anyio

MIGRATE = """
import os, pathlib, sys
verb, state = sys.argv[1], pathlib.Path(os.environ["STATE"])
print("key", os.environ.get("MIGRATE_KEY"), "other", os.environ.get("OTHER"))
print(verb, "at", pathlib.Path("version.txt").read_text().strip())
done = state.exists()
if verb == "status":
    sys.exit(0 if done else 10)
if verb == "apply" and not os.environ.get("BROKEN"):
    state.write_text("done")
elif verb == "apply":
    sys.exit(3)
else:
    state.unlink()
"""


class Source:
    """A repository with one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkouts: list[tuple[str, str]] = []

    async def commit(self, repository: str, sha: str) -> Commit | None:
        return Commit(sha) if (repository, sha) == ("example/explore", COMMIT) else None

    async def checks(self, repository: str, sha: str) -> list[Check]:
        return []

    async def between(self, repository: str, base: str, head: str) -> None:
        return None

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        return ""

    @asynccontextmanager
    async def checkout(self, repository: str, sha: str) -> AsyncIterator[Path]:
        if sha not in {COMMIT, "4" * 40}:
            raise NotFound("GitHub has no such commit.", vendor="github", status=404)
        self.checkouts.append((repository, sha))
        yield self.folder


def target_of(**options: Any) -> Target:
    commands = {verb: [sys.executable, "migrate.py", verb] for verb in ("status", "apply", "undo")}
    given = {**commands, "env": ["MIGRATE_KEY", "STATE"], "folder": "server", **options}
    return Target("preferences", "staging", "command", "preferences", "example/explore", options=given)


class Rig:
    """The platform with a checkout, and the file in which the command keeps what it did."""

    def __init__(self, folder: Path, **environ: str) -> None:
        server = folder / "checkout" / "server"
        server.mkdir(parents=True)
        (server / "migrate.py").write_text(MIGRATE)
        (server / "version.txt").write_text("version one")
        self.state = folder / "state"
        self.source = Source(folder / "checkout")
        given = {"MIGRATE_KEY": "s3cret-key", "STATE": str(self.state), "OTHER": "not to be seen"}
        app = App(
            "preferences",
            "command",
            "example/explore",
            {"staging": target_of()},
            {"staging": RecordName("example/explore", "deploy:preferences", "staging")},
        )
        project = project_of(app, base="http://127.0.0.1:1")
        environ = given | {"PATH": os.environ["PATH"]} | environ
        context = context_of(project, _nobody, source_code=self.source, environ=environ)
        self.platform = Command(context)
        self.told: list[str] = []

    async def release(self, target: Target, settle: bool = True) -> bool:
        switch = await self.platform.release(target, RELEASE, self.told.append)
        if settle:
            await self.platform.settle(target, RELEASE, switch, 30.0, self.told.append)
        return switch.changed


def _nobody(request: httpx2.Request) -> httpx2.Response:
    raise AssertionError(f"nobody is to be asked: {request}")


RELEASE = Release("preferences", COMMIT, {"commit": CommitId(COMMIT)})
ASKED = {"commit": CommitId(COMMIT)}
DONE = Known(ASKED, marker=COMMIT[:7], compared_with=ASKED)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_status_tells_what_runs(rig: Rig) -> None:
    nothing = Known({}, note="no commit is recorded", compared_with={})
    assert await rig.platform.running(target_of(), ()) == nothing
    work = Known({}, note="work to do", compared_with=ASKED)
    assert await rig.platform.running(target_of(), [RELEASE]) == work
    rig.state.write_text("done")
    assert await rig.platform.running(target_of(), [RELEASE]) == DONE


async def test_any_other_exit_code_is_unknown_and_shows_the_output(rig: Rig) -> None:
    status = [sys.executable, "-c", "print('the server is away'); raise SystemExit(7)"]
    running = await rig.platform.running(target_of(status=status), [RELEASE])
    assert running == Unknown("its status command ended with exit code 7\n    the server is away")


async def test_release_applies_once_and_settle_asks_again(rig: Rig) -> None:
    assert await rig.release(target_of())
    assert await rig.platform.running(target_of(), [RELEASE]) == DONE
    assert not await rig.release(target_of())
    assert rig.source.checkouts == [("example/explore", COMMIT)]


async def test_failing_apply_shows_its_output_without_secrets(tmp_path: Path) -> None:
    """P7."""
    rig = Rig(tmp_path, BROKEN="yes")
    broken = target_of(env=["MIGRATE_KEY", "STATE", "BROKEN"])
    with pytest.raises(ReleaseFailed) as caught:
        await rig.release(broken)
    text = str(caught.value)
    assert "preferences in staging: its apply command ended with exit code 3 at 5555555." in text
    assert "apply at version one" in text
    assert "key *** other None" in text
    assert "s3cret-key" not in text


async def test_failing_status_stops_before_apply(rig: Rig) -> None:
    with pytest.raises(ReleaseFailed, match="its status command ended with exit code 1") as caught:
        await rig.release(target_of(status=[sys.executable, "-c", "raise SystemExit(1)"]))
    assert caught.value.hint == "Nothing was applied."
    assert not rig.state.exists()


async def test_apply_that_leaves_work_is_not_healthy(rig: Rig) -> None:
    with pytest.raises(NotHealthy, match="says that work is left"):
        await rig.release(target_of(apply=[sys.executable, "-c", ""]))


async def test_missing_variable_is_named_before_anything_runs(rig: Rig) -> None:
    lacking = target_of(env=["MIGRATE_KEY", "NOT_SET", "NEITHER"])
    with pytest.raises(
        UsageError, match="needs the environment variable NOT_SET and NEITHER, which is not set"
    ):
        await rig.platform.locate(lacking, RELEASE, None)
    with pytest.raises(UsageError):
        await rig.platform.stage(lacking, Located(RELEASE, EMPTY), None, rig.told.append)
    running = await rig.platform.running(lacking, [RELEASE])
    assert isinstance(running, Unknown)
    assert "NOT_SET" in running.reason
    assert rig.source.checkouts == []


async def test_commit_has_to_exist(rig: Rig) -> None:
    assert await rig.platform.locate(target_of(), RELEASE, None) == Located(RELEASE, {"commit": "target"})
    gone = Release("preferences", "6" * 40, {"commit": CommitId("6" * 40)})
    assert isinstance(await rig.platform.locate(target_of(), gone, None), Missing)


async def test_pin_and_publish_name_the_commit(rig: Rig, tmp_path: Path) -> None:
    assert await rig.platform.pin(target_of(), Release("preferences", COMMIT, {})) == RELEASE
    app = rig.platform._context.project.apps["preferences"]
    assert await rig.platform.publish(app, COMMIT, tmp_path, rig.told.append) == RELEASE


async def test_restore_undoes_what_was_applied(rig: Rig) -> None:
    await rig.release(target_of())
    await rig.platform.restore(target_of(), Known({}), rig.told.append)
    assert not rig.state.exists()
    await rig.platform.restore(target_of(), Known({}), rig.told.append)


async def test_what_was_undone_and_applied_again_is_undone_again(rig: Rig) -> None:
    for _ in range(2):
        await rig.release(target_of())
        await rig.platform.restore(target_of(), Known({}), rig.told.append)
        assert not rig.state.exists()


async def test_what_was_applied_and_not_undone_runs_whatever_an_older_commit_says(rig: Rig) -> None:
    """After a newer commit was applied, an older one's status has nothing to do either."""
    old = Release("preferences", "", {"commit": CommitId("4" * 40)})
    await rig.release(target_of())
    assert await rig.platform.running(target_of(), [old, RELEASE]) == DONE
    await rig.platform.restore(target_of(), Known({}), rig.told.append)
    running = await rig.platform.running(target_of(), [old, RELEASE])
    assert running == Known({}, note="work to do", compared_with=old.artifacts)


async def test_restore_without_undo_says_so(rig: Rig) -> None:
    await rig.release(target_of(undo=None))
    with pytest.raises(ReleaseFailed, match="cannot be taken back: it has no undo command"):
        await rig.platform.restore(target_of(undo=None), Known({}), rig.told.append)


async def test_restore_of_what_another_process_applied_says_so(rig: Rig) -> None:
    with pytest.raises(ReleaseFailed, match="it is not known at which commit it was applied"):
        await rig.platform.restore(target_of(), Known({}), rig.told.append)


async def test_restore_of_what_was_done_before_does_nothing(rig: Rig) -> None:
    rig.state.write_text("done")
    assert not await rig.release(target_of())
    await rig.platform.restore(target_of(), DONE, rig.told.append)
    assert rig.state.exists()


async def test_no_shell_reads_the_arguments(rig: Rig, tmp_path: Path) -> None:
    said = await run([sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; `id` *"], tmp_path)
    assert said.lines == ("$HOME; `id` *",)


async def test_program_that_does_not_exist_is_told(rig: Rig, tmp_path: Path) -> None:
    assert await run(["./no-such-program"], tmp_path) == await run(["./no-such-program"], tmp_path)
    outcome = await run(["./no-such-program"], tmp_path)
    assert (outcome.exit_code, outcome.lines) == (127, ("./no-such-program: No such file or directory",))


async def test_command_out_of_time_is_killed_with_all_it_started(tmp_path: Path) -> None:
    script = "sleep 60 & echo $!; echo started; wait"
    began = time.monotonic()
    outcome = await run(["/bin/sh", "-c", script], tmp_path, {"PATH": os.environ["PATH"]}, limit_s=0.5)
    assert time.monotonic() - began < 4.0
    assert outcome.exit_code is None
    assert outcome.lines[1] == "started"
    await _is_gone(int(outcome.lines[0]))


async def test_child_that_outlives_its_command_is_killed(tmp_path: Path) -> None:
    """It holds the output open: waiting for its end would last for ever."""
    script = "sleep 60 >/dev/null 2>&1 & echo $!"
    outcome = await run(["/bin/sh", "-c", script], tmp_path, {"PATH": os.environ["PATH"]}, limit_s=30.0)
    assert outcome.exit_code == 0
    await _is_gone(int(outcome.lines[0]))


async def test_command_that_is_no_longer_waited_for_is_killed(tmp_path: Path) -> None:
    with anyio.move_on_after(0.5):
        await run(["/bin/sh", "-c", "echo $$ >pid; exec sleep 60"], tmp_path, {"PATH": os.environ["PATH"]})
    await _is_gone(int((tmp_path / "pid").read_text()))


async def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    outcome = await run([sys.executable, "-c", "for n in range(1000): print(n)"], tmp_path)
    assert outcome.lines == tuple(str(n) for n in range(800, 1000))
    assert outcome.tail.count("\n") == 20


async def test_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    outcome = await run([sys.executable, "-c", "print('x' * 10_000_000)"], tmp_path)
    assert all(len(line) <= 2000 for line in outcome.lines)


async def _is_gone(pid: int) -> None:
    """Killed; perhaps not yet collected by whoever adopted it."""
    with anyio.fail_after(5.0):
        while True:
            try:
                stat = await anyio.Path(f"/proc/{pid}/stat").read_text()
                if stat.rpartition(")")[2].split()[0] == "Z":
                    return
            except FileNotFoundError:
                return
            await anyio.sleep(0.02)
