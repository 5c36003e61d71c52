"""What the demo claims, it has looked at: a dump that is one is read, and one that is none is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import psycopg
import pytest

from liftlock.demo import proofs
from liftlock.demo.sandbox_process import SandboxFailed


def test_the_tables_of_a_real_dump_are_named(new_database: Callable[[str], str]) -> None:
    address = new_database("dumped")
    with psycopg.connect(address) as database:
        database.execute("CREATE TABLE stars (name text); CREATE TABLE planets (name text)")
    pg_dump = proofs.program("pg_dump")
    dump = subprocess.run([str(pg_dump), "--format=custom", address], capture_output=True, check=True).stdout
    assert proofs.tables_of(dump) == ["planets", "stars"]
    with pytest.raises(SandboxFailed, match="pg_restore cannot read the backup"):
        proofs.tables_of(dump[:40])


def test_a_message_reads_as_its_blocks_where_it_has_some() -> None:
    payload = {
        "text": "short",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Promoted"}},
            {
                "type": "section",
                "fields": [{"type": "mrkdwn", "text": "SSO"}, {"type": "mrkdwn", "text": "ITC"}],
            },
        ],
    }
    assert proofs.message_text(payload) == "Promoted\nSSO\nITC"
    assert proofs.message_text({"text": "plain <https://example.test/a|link>"}) == "plain link"
