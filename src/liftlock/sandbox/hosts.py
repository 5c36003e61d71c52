"""The hosts whose part the sandbox plays: what its certificate is good for, and where its tunnels lead."""

from __future__ import annotations

LOCAL = ("127.0.0.1", "localhost", "*.localhost")
VENDORS = (
    "api.github.com",
    "codeload.github.com",
    "*.heroku.com",
    "api.data.heroku.com",
    "*.googleapis.com",
    "hooks.slack.com",
)
"""`*` stands for one label, as in certificates."""


def is_ours(host: str) -> bool:
    """Whether the sandbox answers for this host."""
    parent = host.partition(".")[2]
    return host in (*LOCAL, *VENDORS) or (bool(parent) and f"*.{parent}" in (*LOCAL, *VENDORS))
