"""The team's own firebase.json: which block, which files, and how it becomes the API's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from liftlock.errors import ConfigurationError, Conflict, NotFound, Unauthorized, VendorRefusal
from liftlock.model import SiteVersion
from liftlock.platforms.firebase.api import Hosting, content_digest
from liftlock.platforms.firebase.globs import matcher
from liftlock.platforms.firebase.publish import _files
from liftlock.platforms.firebase.site_config import read_site_config
from tests.platforms.world import context_of, project_of, site_app


def write(folder: Path, document: Any, rc: Any = None) -> Path:
    (folder / "public").mkdir(exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "firebase.json").write_text(text)
    if rc is not None:
        (folder / ".firebaserc").write_text(json.dumps(rc))
    return folder


def test_every_key_becomes_the_api_configuration(tmp_path: Path) -> None:
    block = {
        "public": "public",
        "cleanUrls": True,
        "trailingSlash": False,
        "appAssociation": "NONE",
        "i18n": {"root": "/intl"},
        "rewrites": [
            {"source": "/app/**", "destination": "/index.html"},
            {"regex": "^/api/.*", "run": {"serviceId": "api"}},
            {"glob": "/f", "function": "hello", "region": "europe-west1"},
            {"source": "/g", "function": {"functionId": "hi"}},
            {"source": "/l", "dynamicLinks": True},
        ],
        "redirects": [
            {"source": "/old", "destination": "/new", "type": 301},
            {"regex": "/x", "destination": "/"},
        ],
        "headers": [{"source": "**/*.js", "headers": [{"key": "Cache-Control", "value": "max-age=7"}]}],
    }
    config = read_site_config(write(tmp_path, {"hosting": block}), "explore-dev").config
    assert config == {
        "cleanUrls": True,
        "trailingSlashBehavior": "REMOVE",
        "appAssociation": "NONE",
        "i18n": {"root": "/intl"},
        "rewrites": [
            {"glob": "/app/**", "path": "/index.html"},
            {"regex": "^/api/.*", "run": {"region": "us-central1", "serviceId": "api"}},
            {"glob": "/f", "function": "hello", "functionRegion": "europe-west1"},
            {"glob": "/g", "function": "hi"},
            {"glob": "/l", "dynamicLinks": True},
        ],
        "redirects": [
            {"glob": "/old", "location": "/new", "statusCode": 301},
            {"regex": "/x", "location": "/"},
        ],
        "headers": [{"glob": "**/*.js", "headers": {"Cache-Control": "max-age=7"}}],
    }


BLOCKS = [
    {"site": "explore-dev", "public": "public", "cleanUrls": True},
    {"target": "admin", "public": "public", "trailingSlash": True},
]
TARGETS = {
    "targets": {"p-dev": {"hosting": {"admin": ["admin-dev"]}}, "p": {"hosting": {"admin": ["admin"]}}}
}


@pytest.mark.parametrize(
    ("site", "config"),
    [
        ("explore-dev", {"cleanUrls": True}),
        ("admin-dev", {"trailingSlashBehavior": "ADD"}),
        ("admin", {"trailingSlashBehavior": "ADD"}),
    ],
)
def test_block_is_found_by_site_or_by_the_targets_of_firebaserc(
    tmp_path: Path, site: str, config: dict[str, Any]
) -> None:
    assert read_site_config(write(tmp_path, {"hosting": BLOCKS}, TARGETS), site).config == config


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold an object"),
        ({}, "hosting: must be an object"),
        ({"hosting": []}, "hosting: must be an object"),
        ({"hosting": ["x"]}, "hosting: must be an object"),
        ({"hosting": BLOCKS}, "has no block for the site 'other' (it has 'explore-dev', 'admin')"),
        ({"hosting": {}}, "hosting.public: must name the folder"),
        ({"hosting": {"public": "dist"}}, "names the folder 'dist', which does not exist"),
        ({"hosting": {"public": ".."}}, "outside the checkout"),
        ({"hosting": {"public": "public", "ignore": "x"}}, "must be a list of patterns"),
        ({"hosting": {"public": "public", "rewrites": {}}}, "hosting.rewrites: must be a list"),
        ({"hosting": {"public": "public", "rewrites": [{"destination": "/"}]}}, "needs either a source"),
        ({"hosting": {"public": "public", "rewrites": [{"source": "x"}]}}, "says not where to"),
        (
            {
                "hosting": {
                    "public": "public",
                    "rewrites": [{"source": "x", "regex": "y", "destination": "/"}],
                }
            },
            "needs either",
        ),
        (
            {
                "hosting": {
                    "public": "public",
                    "rewrites": [{"source": "x", "function": {"functionId": "f", "pinTag": True}}],
                }
            },
            "pins a function's tag",
        ),
        ({"hosting": {"public": "public", "redirects": [{"source": "x"}]}}, "needs a destination"),
        (
            {"hosting": {"public": "public", "headers": [{"source": "x", "headers": ["y"]}]}},
            "keys and values",
        ),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_site_config(write(tmp_path, document), "other")
    assert message in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"firebase\.json: does not exist"):
        read_site_config(tmp_path, "other")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("firebase.json", "firebase.json", True),
        ("firebase.json", "a/firebase.json", False),
        ("**/.*", ".env", True),
        ("**/.*", "a/b/.env", True),
        ("**/.*", ".well-known/assetlinks.json", False),
        ("**/node_modules/**", "node_modules/a/b.js", True),
        ("**/node_modules/**", "x/node_modules/a.js", True),
        ("**/node_modules/**", "my_node_modules/a.js", False),
        ("*.map", "app.map", True),
        ("*.map", "a/app.map", False),
        ("**/*.map", "app.map", True),
        ("assets/**", "assets/a/b", True),
        ("assets", "assets/a", False),
        ("./assets/*", "assets/a", True),
        ("/assets/*", "assets/a", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("*.{js,css}", "x.css", True),
        ("*.{js,css}", "x.html", False),
        ("{a,b/{c,d}}/x", "b/d/x", True),
        ("[a-c].txt", "b.txt", True),
        ("[!a-c].txt", "b.txt", False),
        ("[!a-c].txt", "d.txt", True),
        ("a[.txt", "a[.txt", True),
        ("a{.txt", "a{.txt", True),
        ("a+(b).txt", "a+(b).txt", True),
        ("\\*.txt", "*.txt", True),
        ("\\*.txt", "a.txt", False),
        ("a\nb", "a\nb", True),
    ],
)
def test_ignore_patterns(pattern: str, path: str, matches: bool) -> None:
    assert matcher([pattern])(path) is matches


def test_files_are_those_not_ignored_and_circles_end(tmp_path: Path) -> None:
    folder = write(tmp_path, {"hosting": {"public": "public", "ignore": ["**/*.map"]}})
    (folder / "public" / "a").mkdir()
    (folder / "public" / "a" / "x.js").write_text("x")
    (folder / "public" / "a" / "x.map").write_text("x")
    (folder / "public" / "firebase-debug.log").write_text("x")
    (folder / "public" / "a" / "circle").symlink_to(folder / "public")
    (folder / "public" / "dangling").symlink_to("nowhere")
    assert list(_files(read_site_config(folder, "s"))) == ["/a/x.js"]


def test_content_does_not_depend_on_the_order_or_on_defaults() -> None:
    files = [("/a", "1"), ("/b", "2")]
    digest = content_digest(files, {"cleanUrls": False, "rewrites": []})
    assert digest == content_digest(files[::-1], {})
    assert digest != content_digest(files, {"cleanUrls": True})
    assert digest != content_digest(files[:1], {})


@pytest.mark.anyio
async def test_files_are_read_over_all_their_pages() -> None:
    name = "sites/explore-dev/versions/v"
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        if not request.url.path.endswith("/files"):
            return httpx2.Response(200, json={"name": name, "status": "FINALIZED"})
        if "pageToken" in request.url.params:
            return httpx2.Response(200, json={"files": [{"path": "/b", "hash": "2"}]})
        return httpx2.Response(200, json={"files": [{"path": "/a", "hash": "1"}], "nextPageToken": "t/2"})

    hosting = Hosting(context_of(project_of(site_app(), base="http://127.0.0.1:1"), answer))
    _, version = await hosting.content(name)
    assert version == SiteVersion(name, content_digest([("/a", "1"), ("/b", "2")], {}))
    base = f"http://127.0.0.1:1/v1beta1/{name}"
    assert sorted(asked) == [
        base,
        f"{base}/files?pageSize=1000",
        f"{base}/files?pageSize=1000&pageToken=t%2F2",
    ]


@pytest.mark.anyio
async def test_failed_clone_is_told_in_googles_words() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(200, json={"name": "projects/1/operations/o"})
        assert request.url.path == "/v1beta1/projects/1/operations/o"
        return httpx2.Response(200, json={"done": True, "error": {"code": 7, "message": "no permission"}})

    hosting = Hosting(context_of(project_of(site_app(), base="http://127.0.0.1:1"), answer))
    with pytest.raises(VendorRefusal, match="could not clone the version: no permission") as caught:
        await hosting.clone("sites/explore-dev/versions/v", "explore-staging")
    assert caught.value.code == "7"


GOOGLE_ERRORS = {
    400: ("INVALID_ARGUMENT", VendorRefusal),
    401: ("UNAUTHENTICATED", Unauthorized),
    403: ("PERMISSION_DENIED", Unauthorized),
    404: ("NOT_FOUND", NotFound),
    409: ("ALREADY_EXISTS", Conflict),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "name", "error"), [(s, n, e) for s, (n, e) in GOOGLE_ERRORS.items()])
async def test_every_refusal_of_google_is_ours(status: int, name: str, error: type[VendorRefusal]) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        body = {"error": {"code": status, "message": "Google's words.", "status": name}}
        return httpx2.Response(status, json=body)

    hosting = Hosting(context_of(project_of(site_app(), base="http://127.0.0.1:1"), answer))
    with pytest.raises(error, match=f"{status} {name} Google's words") as caught:
        await hosting.live("explore-dev")
    assert type(caught.value) is error
