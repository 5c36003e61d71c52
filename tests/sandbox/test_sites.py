"""What Firebase Hosting would answer to a path, as a pure function of a version."""

from typing import Any

import pytest

from liftlock.sandbox.patterns import match
from liftlock.sandbox.sites import content_type, lookup

FILES = {path: path for path in ("/index.html", "/about.html", "/docs/index.html", "/app.js", "/404.html")}


@pytest.mark.parametrize(
    ("glob", "path", "takes"),
    [
        ("**", "/a/b", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**", "/a", True),
        ("/a/*", "/a/b/c", False),
        ("**/*.js", "/x/y.js", True),
        ("**/*.js", "/y.js", True),
        ("*.js", "/y.js", True),
        ("**/*.@(jpg|png)", "/a/b.png", True),
        ("**/*.@(jpg|png)", "/a/b.gif", False),
        ("/{a,b}/x", "/b/x", True),
        ("/!(api)/x", "/web/x", True),
        ("/!(api)/x", "/api/x", False),
        ("/!(api)/**", "/apis/x", True),
        ("**/!(*.min).js", "/a/b.js", True),
        ("**/!(*.min).js", "/a/b.min.js", False),
        ("/post?", "/post1", True),
        ("/blog/:name", "/blog/one", True),
        ("/v[0-9]", "/v7", True),
    ],
)
def test_globs(glob: str, path: str, takes: bool) -> None:
    assert bool(match({"glob": glob}, path)) is takes


@pytest.mark.parametrize(
    ("config", "path", "status", "leads_to"),
    [
        ({}, "/", 200, "/index.html"),
        ({}, "/about.html", 200, "/about.html"),
        ({}, "/about", 404, "/404.html"),
        ({}, "/docs", 301, "/docs/"),
        ({}, "/docs/", 200, "/docs/index.html"),
        ({"cleanUrls": True}, "/about", 200, "/about.html"),
        ({"cleanUrls": True}, "/about.html", 301, "/about"),
        ({"cleanUrls": True}, "/index.html", 301, "/"),
        ({"cleanUrls": True, "trailingSlashBehavior": "ADD"}, "/about", 301, "/about/"),
        ({"trailingSlashBehavior": "REMOVE"}, "/docs/", 301, "/docs"),
        ({"trailingSlashBehavior": "REMOVE"}, "/docs", 200, "/docs/index.html"),
        ({"rewrites": [{"glob": "**", "path": "/index.html"}]}, "/any/where", 200, "/index.html"),
        ({"rewrites": [{"glob": "**", "path": "/index.html"}]}, "/app.js", 200, "/app.js"),
        ({"rewrites": [{"regex": "^/x", "path": "/app.js"}]}, "/xyz", 200, "/app.js"),
        (
            {"redirects": [{"glob": "/old/:p*", "statusCode": 302, "location": "/new/:p"}]},
            "/old/a/b",
            302,
            "/new/a/b",
        ),
        (
            {"redirects": [{"regex": "^/u/(\\d+)$", "statusCode": 301, "location": "https://x.invalid/:1"}]},
            "/u/7",
            301,
            "https://x.invalid/7",
        ),
    ],
)
def test_paths(config: dict[str, Any], path: str, status: int, leads_to: str) -> None:
    found = lookup(config, FILES, path)
    assert (found.status, found.location or found.path) == (status, leads_to)


def test_headers_of_every_pattern_that_takes_the_path() -> None:
    rules = [
        {"glob": "**", "headers": {"X-A": "1"}},
        {"glob": "**/*.js", "headers": {"Cache-Control": "no-store"}},
    ]
    assert lookup({"headers": rules}, FILES, "/app.js").headers == {"X-A": "1", "Cache-Control": "no-store"}
    assert lookup({"headers": rules}, FILES, "/").headers == {"X-A": "1"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/index.html", "text/html; charset=utf-8"),
        ("/a.js", "text/javascript; charset=utf-8"),
        ("/a.css", "text/css; charset=utf-8"),
        ("/a.json", "application/json"),
        ("/a.woff2", "font/woff2"),
        ("/LICENSE", "application/octet-stream"),
    ],
)
def test_content_types(path: str, kind: str) -> None:
    assert content_type(path) == kind
