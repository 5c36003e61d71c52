"""Commits from the checkout at hand and from GitHub: the same files, and never the work tree."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest

from liftlock.errors import LiftlockError, NotFound, Unauthorized
from liftlock.http import Http
from liftlock.model import Between, Project, Relation
from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from liftlock.source_code import Commits, GitHubCommits, LocalGit, archives, head, repository_of, web_address
from liftlock.source_code.archives import unpack
from liftlock.source_code.messages import read_message
from liftlock.sqlite_file import files_of

pytestmark = pytest.mark.anyio

BASE = "http://127.0.0.1:1"
REPOSITORY = "example/services"
FAR = "f" * 40


def git(folder: Path, *arguments: str) -> str:
    person = {"GIT_AUTHOR_NAME": "A. Stronomer", "GIT_AUTHOR_EMAIL": "a@users.invalid"}
    committer = {"GIT_COMMITTER_NAME": "A. Stronomer", "GIT_COMMITTER_EMAIL": "a@users.invalid"}
    clean = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**clean, **person, **committer},
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of two commits, with a dirty work tree."""
    folder = tmp_path / "services"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", f"git@github.com:{REPOSITORY}.git")
    (folder / "migrate").write_text("#!/bin/sh\necho one\n")
    (folder / "migrate").chmod(0o755)
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to("../migrate")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Add the migration\n\nIt does one thing.")
    (folder / "migrate").write_text("#!/bin/sh\necho two\n")
    git(folder, "commit", "-q", "-am", "Do another")
    (folder / "migrate").write_text("never committed")
    (folder / "stray").write_text("untracked")
    return folder


def nobody() -> Http:
    raise AssertionError("GitHub must not be asked")


def commits(root: Path, http: Callable[[], Http] = nobody) -> Commits:
    return Commits(LocalGit(root), GitHubCommits(http))


@pytest.fixture
async def github() -> AsyncIterator[Http]:
    cloud = Cloud(modelled=True)
    async with cloud.running():

        async def owner() -> str | None:
            return "Bearer owner"

        http = Http("github", BASE, authorization=owner, transport=InProcess(cloud))
        await http.request("PUT", "/_sandbox/world", json={"github": {"repositories": [REPOSITORY]}})
        commit = {"sha": FAR, "parents": [], "message": "A far one\n\nbody", "author": "A. Stronomer"}
        await http.request("PUT", f"/_sandbox/github/{REPOSITORY}/commits", json=[commit])
        archive = tar_of({"explore/firebase.json": b"{}", "migrate": b"#!/bin/sh\n"})
        await http.request("PUT", f"/_sandbox/github/{REPOSITORY}/tarballs/{FAR}", content=archive)
        yield http


def tar_of(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return packed.getvalue()


# The checkout at hand.


async def test_a_local_commit_is_told_without_github(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD~1")
    commit = await commits(checkout).commit(REPOSITORY, first)
    assert commit is not None
    assert (commit.sha, commit.subject, commit.author) == (first, "Add the migration", "A. Stronomer")
    assert commit.committed_at is not None
    assert commit.committed_at.tzinfo is not None


async def test_a_checkout_holds_the_commits_files_and_not_the_work_trees(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD~1")
    async with commits(checkout).checkout(REPOSITORY, first) as folder:
        assert (folder / "migrate").read_text() == "#!/bin/sh\necho one\n"
        assert (folder / "migrate").stat().st_mode & 0o100, "a command stays executable"
        assert (folder / "sub" / "link").read_text() == "#!/bin/sh\necho one\n"
        assert not (folder / "stray").exists()
    assert not folder.exists()


async def test_a_checkout_goes_away_when_its_user_fails(checkout: Path) -> None:
    with pytest.raises(RuntimeError):
        async with commits(checkout).checkout(REPOSITORY, git(checkout, "rev-parse", "HEAD")) as folder:
            raise RuntimeError
    assert not folder.exists()


async def test_head_says_where_a_checkout_stands(checkout: Path) -> None:
    found = await head(checkout)
    assert (found.commit.sha, found.commit.subject) == (git(checkout, "rev-parse", "HEAD"), "Do another")
    assert (found.dirty, found.repository) == (True, REPOSITORY)
    git(checkout, "checkout", "-q", "--", "migrate")
    (checkout / "stray").unlink()
    git(checkout, "remote", "remove", "origin")
    found = await head(checkout)
    assert (found.dirty, found.repository) == (False, "")


async def test_the_projects_own_ledger_does_not_make_a_checkout_dirty(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "--", "migrate")
    (checkout / "stray").unlink()
    (checkout / "state").mkdir()
    ledger = "sqlite:///state/the ledger.db"
    project = Project("services", REPOSITORY, ledger, 0.0, {}, {}, {}, root=str(checkout))
    for end in ("", "-wal", "-shm", "-journal"):
        (checkout / "state" / f"the ledger.db{end}").write_text("")
    assert (await head(checkout)).dirty
    assert not (await head(checkout, files_of(project))).dirty
    assert not (await head(checkout / "sub", files_of(project))).dirty
    another = checkout / "state" / "the ledger.db.bak"
    another.write_text("")
    assert (await head(checkout, files_of(project))).dirty
    another.unlink()
    (checkout / "migrate").write_text("not committed")
    assert (await head(checkout, files_of(project))).dirty
    assert files_of(replace(project, ledger="github")) == ()


async def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(LiftlockError, match="git log failed in"):
        await head(tmp_path)


@pytest.mark.parametrize("sha", ["", "HEAD", "main", "--output=/tmp/x", "1234567", "g" * 40])
async def test_only_whole_names_are_looked_up_in_the_checkout(checkout: Path, sha: str) -> None:
    assert not await LocalGit(checkout).has(sha)


async def test_without_git_there_is_still_github(
    github: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    commit = await commits(tmp_path, lambda: github).commit(REPOSITORY, FAR)
    assert commit is not None
    with pytest.raises(LiftlockError, match="git cannot be run"):
        await head(tmp_path)


# Messages.


@pytest.mark.parametrize(
    ("message", "subject", "pull_request"),
    [
        ("Add it", "Add it", None),
        ("Add it (#12)\n\nbody (#13)", "Add it (#12)", 12),
        ('Revert "Add it (#12)" (#14)', 'Revert "Add it (#12)" (#14)', 14),
        ("Mend (#12) in two places", "Mend (#12) in two places", None),
        ("Merge pull request #7 from team/topic\n\nAdd it\n", "Add it", 7),
        ("Merge pull request #7 from team/topic", "Merge pull request #7 from team/topic", 7),
        ("Merge pull request #7 and more", "Merge pull request #7 and more", None),
        ("", "", None),
    ],
)
def test_a_message_tells_the_pull_request(message: str, subject: str, pull_request: int | None) -> None:
    assert read_message(message) == (subject, pull_request)


# GitHub.


async def test_without_github_a_commit_is_told_from_the_checkout(checkout: Path) -> None:
    git(checkout, "commit", "-q", "--allow-empty", "-m", "Add a third (#12)")
    here = git(checkout, "rev-parse", "HEAD")

    def refuses() -> Http:
        raise Unauthorized("There is no token.", vendor="github")

    about = await commits(checkout, refuses).about(REPOSITORY, here)
    assert (about.sha, about.subject, about.pull_request) == (here, "Add a third (#12)", 12)


async def test_a_long_history_is_read_page_by_page(github: Http, tmp_path: Path) -> None:
    """Of 230 commits each is told once, newest first, with the pull request that brought it."""
    names = [f"{number:040x}" for number in range(1, 231)]
    new = [
        {"sha": sha, "parents": [names[i - 1] if i else FAR], "message": f"Change {i}", "login": "ada"}
        for i, sha in enumerate(names)
    ]
    await github.request("PUT", f"/_sandbox/github/{REPOSITORY}/commits", json=new)
    pulls = [{"number": 7, "merge_commit": names[-1]}]
    await github.request("PUT", f"/_sandbox/github/{REPOSITORY}/pulls", json=pulls)
    reader = commits(tmp_path, lambda: github)
    found = await reader.history(REPOSITORY, FAR, names[-1])
    assert found is not None
    assert (found.relation, found.ahead, found.behind) == (Relation.AHEAD, 230, 0)
    assert [commit.sha for commit in found.commits] == names[::-1]
    assert (found.commits[0].pull_request, found.commits[0].login) == (7, "ada")
    assert found.commits[1].pull_request is None
    assert await reader.distance(REPOSITORY, FAR, names[-1]) == Between(Relation.AHEAD, None, 230, 0)
    assert await reader.distance(REPOSITORY, names[-1], FAR) == Between(Relation.BEHIND, None, 0, 230)
    assert await reader.history(REPOSITORY, "e" * 40, FAR) is None


async def test_the_checkout_tells_a_history_when_github_cannot(checkout: Path) -> None:
    base, middle = git(checkout, "rev-parse", "HEAD~1"), git(checkout, "rev-parse", "HEAD")
    git(
        checkout,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "Merge pull request #9 from a/b\n\nAdd a third\n\nbody",
    )

    def refuses() -> Http:
        raise Unauthorized("There is no token.", vendor="github")

    head = git(checkout, "rev-parse", "HEAD")
    found = await commits(checkout, refuses).history(REPOSITORY, base, head)
    assert found is not None
    assert (found.relation, found.ahead, found.behind, found.paths) == (Relation.AHEAD, 2, 0, ("migrate",))
    assert [(c.sha, c.subject, c.pull_request) for c in found.commits] == [
        (head, "Add a third", 9),
        (middle, "Do another", None),
    ]
    assert found.commits[0].parents == (middle,)
    with pytest.raises(Unauthorized):
        await commits(checkout, refuses).history(REPOSITORY, base, FAR)


async def test_the_checkout_counts_what_lies_between(checkout: Path) -> None:
    base = git(checkout, "rev-parse", "HEAD~1")
    here = git(checkout, "rev-parse", "HEAD")
    git(checkout, "checkout", "-q", "-f", "-b", "other", base)
    git(checkout, "commit", "-q", "--allow-empty", "-m", "Elsewhere")
    other = git(checkout, "rev-parse", "HEAD")
    reader = commits(checkout)
    assert await reader.distance(REPOSITORY, base, here) == Between(Relation.AHEAD, None, 1, 0)
    assert await reader.distance(REPOSITORY, here, base) == Between(Relation.BEHIND, None, 0, 1)
    assert await reader.distance(REPOSITORY, here, other) == Between(Relation.DIVERGED, None, 1, 1)
    assert await reader.distance(REPOSITORY, here, here) == Between(Relation.SAME, None, 0, 0)


async def test_what_github_does_not_answer_in_time_is_left_out(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr("liftlock.source_code.commits.ABOUT_S", 0.5)
    http = Http("github", BASE, transport=httpx2.MockTransport(never))
    here = git(checkout, "rev-parse", "HEAD")
    about = await commits(checkout, lambda: http).about(REPOSITORY, here)
    assert (about.subject, about.login, about.pull_request) == ("Do another", "", None)


async def test_a_commit_that_is_not_at_hand_is_asked_of_github(github: Http, checkout: Path) -> None:
    commit = await commits(checkout, lambda: github).commit(REPOSITORY, FAR)
    assert commit is not None
    assert (commit.sha, commit.subject, commit.author) == (FAR, "A far one", "A. Stronomer")
    assert commit.url


async def test_a_commit_that_nobody_has_is_none(github: Http, tmp_path: Path) -> None:
    assert await commits(tmp_path, lambda: github).commit(REPOSITORY, "e" * 40) is None
    assert await commits(tmp_path).commit("", "e" * 40) is None


async def test_githubs_archive_comes_without_its_top_folder(github: Http, tmp_path: Path) -> None:
    async with commits(tmp_path, lambda: github).checkout(REPOSITORY, FAR) as folder:
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        assert files == ["explore/firebase.json", "migrate"]
        assert (folder / "migrate").stat().st_mode & 0o100


async def test_a_checkout_of_what_nobody_has_is_refused(github: Http, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        async with commits(tmp_path, lambda: github).checkout(REPOSITORY, "e" * 40):
            pass
    with pytest.raises(LiftlockError, match="no commit"):
        async with commits(tmp_path).checkout("", "e" * 40):
            pass


def archived(content: bytes) -> Callable[[], Http]:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=content))
    return lambda: Http("github", BASE, transport=transport)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "archive",
    [
        tar_of({"top/../../escaped": b"x"}),
        tar_of({}, link("top/passwd", "/etc/passwd")),
        tar_of({}, link("top/up", "../../..")),
        tar_of({}, link("top/hard", "top/../../escaped", tarfile.LNKTYPE)),
        tar_of({}, link("top/null", "", tarfile.CHRTYPE)),
        tar_of({"top/whole": b"x" * 100_000})[:60],
        b"<html>not an archive</html>",
        b"",
    ],
    ids=[
        "parent",
        "absolute link",
        "link upwards",
        "hard link upwards",
        "device",
        "cut short",
        "html",
        "empty",
    ],
)
async def test_an_archive_that_is_broken_or_means_harm_is_refused(tmp_path: Path, archive: bytes) -> None:
    with pytest.raises(LiftlockError, match="cannot be unpacked"):
        async with commits(tmp_path, archived(archive)).checkout(REPOSITORY, FAR):
            pass
    assert not (tmp_path / "escaped").exists()


async def test_an_archive_that_would_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    with pytest.raises(LiftlockError, match="more than a checkout may hold"):
        async with commits(tmp_path, archived(tar_of({"top/big": b"0" * 1001}))).checkout(REPOSITORY, FAR):
            pass


def test_hard_links_survive_the_loss_of_the_top_folder(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_of({"top/file": b"x"}, link("top/same", "top/file", tarfile.LNKTYPE)))
    (tmp_path / "out").mkdir()
    unpack(archive, tmp_path / "out", 1)
    assert (tmp_path / "out" / "same").read_bytes() == b"x"


# Addresses.


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com/example/services/compare/a...b"),
        ("https://git.example.org/api/v3", "https://git.example.org/example/services/compare/a...b"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/repos/example/services/compare/a...b"),
    ],
)
async def test_the_page_of_a_comparison_costs_no_request(tmp_path: Path, api: str, page: str) -> None:
    def unasked(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request)

    http = Http("github", api, transport=httpx2.MockTransport(unasked))
    assert await commits(tmp_path, lambda: http).compare_url(REPOSITORY, "a", "b") == page


@pytest.mark.parametrize("ends", [("", "b"), ("a", ""), ("a", "a")])
async def test_there_is_no_page_where_there_is_nothing_to_compare(
    tmp_path: Path, ends: tuple[str, str]
) -> None:
    assert await commits(tmp_path).compare_url(REPOSITORY, *ends) == ""
    assert await commits(tmp_path).compare_url("", "a", "b") == ""


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("git@github.com:example/services.git", REPOSITORY),
        ("https://github.com/example/services", REPOSITORY),
        ("https://token@github.com/example/services.git/", REPOSITORY),
        ("ssh://git@github.com:22/example/services.git", REPOSITORY),
        ("/srv/git/services.git", ""),
        ("../services", ""),
        ("file:///srv/services.git", ""),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_the_repository_is_read_from_the_remote(url: str, repository: str) -> None:
    assert repository_of(url) == repository


def test_web_address_of_githubs_api() -> None:
    assert web_address("https://api.github.com") == "https://github.com"
