"""`liftlock build`, `push` and `deploy` of a checkout, against a served sandbox."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.registry.cncf import NoRegistry, cncf
from tests.sandbox.serving import served

TOML = """
[project]
name = "shop"
repository = "example/shop"
settle = "0s"

[environments.dev]
[environments.staging]
from = ["dev"]

[apps.web]
heroku = "shop-web-{env}"
paths = ["web/**"]
processes.web = { directory = "web", command = ["./start"] }

[apps.jobs]
heroku = "shop-jobs-{env}"
processes.web = { directory = "jobs", command = ["./start"] }
"""
APPS = [f"shop-{app}-{env}" for app in ("web", "jobs") for env in ("dev", "staging")]
GIT = {
    "GIT_AUTHOR_NAME": "Shop Team", "GIT_AUTHOR_EMAIL": "team@shop.example", "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_COMMITTER_NAME": "Shop Team", "GIT_COMMITTER_EMAIL": "team@shop.example",
}  # fmt: skip


@dataclass
class Shop:
    """A checkout with two apps, and the sandbox that it is deployed to."""

    folder: Path
    cloud: httpx2.Client
    environ: dict[str, str]
    commits: list[str] = field(default_factory=list)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, file: str, text: str) -> str:
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"Change {file}")
        sha = self.git("rev-parse", "HEAD")
        known = {
            "sha": sha, "parents": self.commits[-1:], "message": f"Change {file}", "author": "Shop Team",
            "email": "team@shop.example", "date": "2026-11-20T10:00:00+00:00",
        }  # fmt: skip
        self.cloud.put("/_sandbox/github/example/shop/commits", json=[known]).raise_for_status()
        self.commits.append(sha)
        return sha

    def run(self, line: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "liftlock", *line.split()],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def json(self, line: str, code: int = 0) -> Any:
        return json.loads(self.run(f"{line} --json", code).stdout)

    def records(self) -> list[tuple[str, str]]:
        """(task, commit) of every app's deployment, newest first."""
        listed = self.cloud.get("/repos/example/shop/deployments", params={"per_page": 100}).json()
        return [(each["task"], each["sha"]) for each in listed if each["task"].startswith("deploy:")]

    def about(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(environment, app, what is said of the commit) of every app's deployment, by environment and app."""
        listed = self.cloud.get("/repos/example/shop/deployments", params={"per_page": 100}).json()
        ours = [
            (each["environment"], each["payload"]["liftlock"])
            for each in listed
            if each["task"] != "liftlock:promotion"
        ]
        return sorted(
            ((e, told["app"], told["about"]) for e, told in ours), key=lambda t: t[:2], reverse=True
        )

    def tagged(self, repository: str, tag: str) -> str | None:
        """The digest under a tag."""
        accept = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
        answer = self.cloud.head(f"/v2/{repository}/manifests/{tag}", headers=accept)
        return answer.headers.get("docker-content-digest") if answer.status_code == 200 else None


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with served(tmp_path / "cloud") as cloud:
        world = {
            "github": {"repositories": ["example/shop"]},
            "heroku": {"apps": [{"name": n} for n in APPS]},
        }
        cloud.put("/_sandbox/world", json=world).raise_for_status()
        base = str(cloud.base_url).rstrip("/")
        variables = ("GITHUB_API_URL", "HEROKU_API_URL", "HEROKU_DATA_URL", "HEROKU_REGISTRY_URL")
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), **GIT,
            **dict.fromkeys((*variables, "FIREBASE_HOSTING_API_URL"), base),
        }  # fmt: skip
        folder = tmp_path / "shop"
        folder.mkdir()
        here = Shop(folder, cloud, environ)
        here.git("init", "-q", "-b", "main")
        here.git("remote", "add", "origin", "git@github.com:example/shop.git")
        for name in ("web", "jobs"):
            (folder / name).mkdir()
            (folder / name / "start").write_text(f"#!/bin/sh\necho {name}\n")
        here.commit("liftlock.toml", TOML)
        yield here


def test_a_deploy_pushes_everywhere_releases_in_dev_and_records(shop: Shop) -> None:
    (commit,) = shop.commits
    shop.run("deploy --yes")
    assert sorted(shop.records()) == [("deploy:jobs", commit), ("deploy:web", commit)]
    for app, process in (("web", "web"), ("jobs", "web")):
        digests = {shop.tagged(f"shop-{app}-{env}/{process}", commit) for env in ("dev", "staging")}
        assert len(digests) == 1
        assert None not in digests
        assert shop.tagged(f"shop-{app}-dev/{process}", "latest") in digests
        assert shop.tagged(f"shop-{app}-staging/{process}", "latest") is None
    again = shop.run("deploy --yes")
    assert len(shop.records()) == 2, again.stdout


def test_records_say_who_made_the_commit_and_by_which_pull_request(shop: Shop) -> None:
    (commit,) = shop.commits
    pull = {"number": 12, "title": "Open the shop", "login": "keeper", "merge_commit": commit}
    shop.cloud.put("/_sandbox/github/example/shop/pulls", json=[pull]).raise_for_status()
    shop.run("deploy --yes")
    shop.run("promote dev staging --yes")
    told = shop.about()
    assert [(environment, app) for environment, app, _ in told] == [
        ("staging", "web"),
        ("staging", "jobs"),
        ("dev", "web"),
        ("dev", "jobs"),
    ]
    for _, _, about in told:
        assert about["subject"] == "Change liftlock.toml"
        assert (about["author"], about["pull_request"]) == ("Shop Team", 12)
        assert datetime.fromisoformat(about["at"])


@pytest.mark.parametrize("fault", [{"action": "status", "status": 404}, {"action": "hang"}], ids=str)
def test_a_deploy_does_without_what_github_cannot_tell_of_a_commit(shop: Shop, fault: dict[str, Any]) -> None:
    rule = {"vendor": "github", "method": "GET", "path": "/commits/[0-9a-f]+(/pulls)?$", **fault}
    shop.cloud.post("/_sandbox/faults", json=rule).raise_for_status()
    shop.run("deploy --yes")
    assert {about["subject"] for _, _, about in shop.about()} == {"Change liftlock.toml"}


def test_an_older_commit_never_overtakes_a_newer_one(shop: Shop) -> None:
    (first,) = shop.commits
    second = shop.commit("web/start", "#!/bin/sh\necho second\n")
    shop.run("deploy --yes")
    shop.git("checkout", "-q", first)
    latest = shop.tagged("shop-web-dev/web", "latest")
    ran = shop.run("deploy --yes")
    assert f"Superseded: jobs runs {second[:7]} in dev, which is newer than {first[:7]}" in ran.stdout
    assert shop.json("deploy --yes") == {"superseded": True, "commit": first, "by": second}
    assert {commit for _, commit in shop.records()} == {second}
    assert shop.tagged("shop-web-dev/web", "latest") == latest
    assert shop.tagged("shop-web-dev/web", first) is None


def test_a_shallow_checkout_asks_github_which_commit_is_newer(shop: Shop, tmp_path: Path) -> None:
    first = shop.commits[0]
    second = shop.commit("web/start", "#!/bin/sh\necho second\n")
    shop.run("deploy --yes")
    shop.git("checkout", "-q", first)
    shop.git("clone", "-q", "--depth=1", f"file://{shop.folder}", str(tmp_path / "shallow"))
    shop.folder = tmp_path / "shallow"
    shop.git("remote", "set-url", "origin", "git@github.com:example/shop.git")
    assert shop.git("rev-parse", "HEAD") == first
    assert shop.json("deploy --yes")["by"] == second


def test_an_app_that_nothing_changed_of_keeps_its_artifacts_and_its_record_moves(shop: Shop) -> None:
    (first,) = shop.commits
    shop.run("deploy --yes")
    second = shop.commit("jobs/start", "#!/bin/sh\necho second\n")
    ran = shop.run("deploy --yes -v")
    assert f"nothing of it changed since {first[:7]}" in ran.stdout
    assert sorted(shop.records()) == sorted(
        (f"deploy:{app}", commit) for app in ("web", "jobs") for commit in (first, second)
    )
    assert shop.tagged("shop-web-dev/web", second) is None
    assert shop.tagged("shop-jobs-staging/web", second) is not None
    third = shop.commit("web/more/page.html", "more")
    shop.run("deploy --yes")
    assert shop.tagged("shop-web-staging/web", third) is not None


def test_build_and_push_change_nothing_that_runs(shop: Shop) -> None:
    (commit,) = shop.commits
    built = shop.json("build")
    assert built["commit"] == commit
    assert shop.tagged("shop-web-dev/web", commit) is None
    pushed = shop.json("push web")
    assert pushed["apps"] == {"web": {"artifacts": {"web": built["apps"]["web"]["web"]["image_id"]}}}
    assert shop.tagged("shop-web-staging/web", commit) is not None
    assert shop.tagged("shop-jobs-staging/web", commit) is None
    assert "web" in shop.run("push").stdout
    assert shop.records() == []
    assert "no app 'wbe'" in shop.run("push wbe", code=2).stderr


def test_every_pushed_image_goes_to_the_archive_byte_for_byte(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with archive(tmp_path / "archive") as host:
        kept = TOML.replace('settle = "0s"', f'settle = "0s"\narchive = "{host}/kept"')
        commit = shop.commit("liftlock.toml", kept)
        shop.run("deploy --yes")
        for app in ("web", "jobs"):
            archived = manifest(f"http://{host}", f"kept/{app}/web", commit)
            for env in ("dev", "staging"):
                assert archived == manifest(str(shop.cloud.base_url), f"shop-{app}-{env}/web", commit)
            for blob in (archived["config"], *archived["layers"]):
                found = httpx2.get(f"http://{host}/v2/kept/{app}/web/blobs/{blob['digest']}", trust_env=False)
                assert f"sha256:{hashlib.sha256(found.content).hexdigest()}" == blob["digest"]


@contextmanager
def archive(folder: Path) -> Iterator[str]:
    try:
        with cncf(folder) as host:
            yield host
    except NoRegistry as reason:
        pytest.skip(str(reason))


def manifest(base: str, repository: str, tag: str) -> dict[str, Any]:
    """A manifest that a registry holds; its bytes are those of the digest that the registry tells."""
    accept = {
        "accept": "application/vnd.docker.distribution.manifest.v2+json",
        "authorization": "Basic Xzpvd25lcg==",
    }
    address = f"{base.rstrip('/')}/v2/{repository}/manifests/{tag}"
    answer = httpx2.get(address, headers=accept, trust_env=False).raise_for_status()
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    assert answer.headers["docker-content-digest"] == digest
    return {"its own digest": digest, **answer.json()}


def test_an_image_that_cannot_be_had_moves_no_tag(shop: Shop) -> None:
    broken = TOML.replace('{ directory = "jobs", command = ["./start"] }', '{ archive = "absent.tar" }')
    commit = shop.commit("liftlock.toml", broken)
    assert "There is no archive" in shop.run("push", code=2).stderr
    assert shop.tagged("shop-web-dev/web", commit) is None
    assert shop.tagged("shop-web-dev/web", "latest") is None


def test_the_projects_file_is_read_from_another_repository(shop: Shop, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("liftlock.toml")
        entry.size = len(TOML.encode())
        archive.addfile(entry, io.BytesIO(TOML.encode()))
    sha = shop.commits[0]
    path = f"/_sandbox/github/example/shop/tarballs/{sha}"
    shop.cloud.put(path, content=packed.getvalue()).raise_for_status()
    (shop.folder / "liftlock.toml").unlink()
    shop.run("status", code=2)
    shop.run(f"status --config github:example/shop@{sha}")
    shop.run("deploy --yes --config github:example/shop")
    assert len(shop.records()) == 2
    assert (
        "has no liftlock.toml at nowhere" in shop.run("status --config github:example/shop@nowhere", 2).stderr
    )
    assert "does not name a repository" in shop.run("status --config github:example", 2).stderr
