"""A small world for tests: one repository with three commits, two sites."""

import gzip
import hashlib
from typing import Any

REPO = "/repos/example/services"
A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
WORLD = {
    "github": {"repositories": ["example/services"]},
    "firebase": {
        "sites": [
            {"name": "explore-dev", "project": "observatory"},
            {"name": "explore-prod", "project": "observatory"},
        ]
    },
}
COMMITS = [
    {"sha": A, "parents": [], "message": "first", "author": "One", "date": "2025-01-01T00:00:00Z"},
    {"sha": B, "parents": [A], "message": "second", "author": "One", "date": "2025-01-02T00:00:00Z"},
    {"sha": C, "parents": [B], "message": "third", "author": "Two", "date": "2025-01-03T00:00:00Z"},
]
DEPLOYMENT = {
    "ref": C,
    "auto_merge": False,
    "required_contexts": [],
    "environment": "staging",
    "task": "deploy:SSO",
}


def packed(text: str) -> tuple[str, bytes]:
    """The gzipped bytes of a file, and their hash."""
    content = gzip.compress(text.encode(), mtime=0)
    return hashlib.sha256(content).hexdigest(), content


def file_map(files: dict[str, str]) -> tuple[dict[str, str], dict[str, bytes]]:
    """What `populateFiles` wants, and what is to be uploaded."""
    pairs = {path: packed(text) for path, text in files.items()}
    return {path: pair[0] for path, pair in pairs.items()}, dict(pairs.values())


Answer = Any
