"""What comes from elsewhere, made up: every reader ends in a value or in one of our errors, soon."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.databases.heroku_transfers import read_transfer
from liftlock.engine.backups import journaled_backups
from liftlock.errors import LiftlockError
from liftlock.leases.record import FREE, Record, Standing, read_record
from liftlock.ledgers.payload import read_approval, read_intent
from liftlock.ledgers.payload import read_record as read_payload
from liftlock.model import Intent, Kind
from liftlock.planning.document import saved_plan
from liftlock.platforms.firebase.globs import is_excessive, matcher
from liftlock.registry.local_images import diff_ids
from liftlock.wording import printable, printable_json, read_moment
from tests.corpus.feeds import HERE

pytestmark = [pytest.mark.promise("P8")]

DIGEST = f"sha256:{'a' * 64}"
WORDS = st.sampled_from(
    [
        "",
        DIGEST,
        "latest",
        "\x00\x1b[2J",
        "\ud800",
        "../..",
        "2026-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "deploy",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | WORDS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)


def like(example: Any) -> st.SearchStrategy[Any]:
    """Values shaped as `example`, any part of which may be missing or something else."""
    if isinstance(example, dict):
        shaped = st.fixed_dictionaries({}, optional={key: like(value) for key, value in example.items()})
        return shaped | VALUES
    if isinstance(example, list):
        return st.lists(like(example[0]), max_size=2) | VALUES if example else VALUES
    return st.just(example) | VALUES


OURS = {
    "format": 1, "app": "ODB", "promotion": "7", "kind": "deploy", "source": {"environment": "dev"}, "key": "k",
    "unresolved": ["web"], "site": {"version": "sites/x/versions/1", "content": "c"}, "commit": "1", "plan": "d",
    "expires": "2026-01-01T00:00:00Z", "before": {"ODB": {"web": {"image_id": DIGEST}}}, "overrides": {"soak": "x"},
    "releases": {"ODB": {"commit": "1", "artifacts": {"web": {"image_id": DIGEST}}}},
    "backups": [{"id": "b1", "size": 1, "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z"}],
}  # fmt: skip
LEASE = {
    "liftlock": 1, "standing": "held", "purpose": "x", "ttl_s": 600.0, "since": "2026-01-01T00:00:00Z",
    "journal": [{"entry": {"backups": []}, "hash": "0"}], "nonce": "1", "process": "a b 1 1",
}  # fmt: skip
JOURNAL = {
    "promotion": "1",
    "backups": [
        {
            "id": "b", "database": "d", "app": "a", "service": "s", "size_bytes": 1,
            "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z",
        }
    ],
}  # fmt: skip
TRANSFER = {
    "uuid": "u", "num": 7, "options": {"pgbackups_name": "b"}, "from_type": "pg_dump", "to_type": "gof3r",
    "created_at": "2026-01-01 00:00:00 +0000", "logs": [{"message": "x"}], "succeeded": True, "processed_bytes": 1,
}  # fmt: skip
PLAN = json.loads((HERE / "plans" / "kind-unknown.json").read_text()) | {"kind": "promotion"}
INTENT = Intent("1", Kind.PROMOTION, "staging", "dev", "d", {}, datetime(2026, 1, 1, tzinfo=UTC))
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [DIGEST]}}


@given(payload=like({"docker_image_shas": {"web": DIGEST}, "liftlock": OURS}))
def test_any_payload(payload: Any) -> None:
    for one in (payload, json.dumps(payload), json.dumps(json.dumps(payload))):
        read_payload(one)
        read_intent(one)
        read_approval(one)


@given(content=like(LEASE))
def test_any_lease(content: Any) -> None:
    with suppress(LiftlockError):
        read_record(json.dumps(content), "a test")


@given(
    record=st.builds(
        Record, st.just(Standing.HELD), st.text(max_size=9), st.floats(0, 600), nonce=st.text(max_size=9)
    )
)
def test_any_lease_is_read_as_it_was_written(record: Record) -> None:
    assert read_record(record.text(), "a test") == record
    assert read_record(FREE.text(), "a test") == FREE


@given(entry=like(JOURNAL))
def test_any_journal(entry: Any) -> None:
    if isinstance(entry, dict):
        for backup in journaled_backups(INTENT, [entry]):
            assert backup.started_at.tzinfo is not None


@given(entry=like(TRANSFER))
def test_any_transfer(entry: Any) -> None:
    if isinstance(entry, dict):
        with suppress(LiftlockError):
            read_transfer(entry)


@given(document=like(PLAN))
def test_any_saved_plan(document: Any) -> None:
    with suppress(LiftlockError):
        saved_plan(document, "plan.json")


@given(config=like(CONFIG))
def test_any_config_of_an_image(config: Any) -> None:
    with suppress(LiftlockError):
        assert all(
            name.isascii() and "/" not in name for name in diff_ids(json.dumps(config).encode(), "a test")
        )


@given(
    pattern=st.lists(
        st.sampled_from(["**/", "*", "?", "{", "}", ",", "[", "]", "!", "-", "a", "\\"]), max_size=60
    )
)
def test_any_pattern_is_answered_soon(pattern: list[str]) -> None:
    text = "".join(pattern)
    if not is_excessive(text):
        matcher([text])("a/" * 60 + "b")


@given(text=st.text() | WORDS)
def test_any_text_is_shown_without_what_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert printable(shown) == shown
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text


@given(text=st.text(max_size=30) | st.datetimes().map(lambda time: f"{time.isoformat()}+23:59") | WORDS)
def test_any_moment(text: str) -> None:
    with suppress(ValueError):
        assert read_moment(text).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
