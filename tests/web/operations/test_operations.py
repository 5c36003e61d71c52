"""Running the server: its image, its unit, probes, logs, traces, the way it stops, and its own backup."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert, select

from liftlock.cli.app import run
from liftlock.errors import UsageError
from liftlock.web.access.people import Right
from liftlock.web.access.tokens import Tokens
from liftlock.web.logs import JsonLines, PlainLines
from liftlock.web.store import open_store, tables
from liftlock.web.store.backup import read_backup, write_backup
from liftlock.web.work.orders import Order, OrderKind
from liftlock.web.work.traces import begin_traces, traced
from tests.web.api.test_api import a_world, api

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
PROJECT = """
[project]
name = "shop"
repository = "example/shop"
ledger = "sqlite:///ledger.db"
[environments.dev]
[environments.staging]
from = ["dev"]
[apps.web]
heroku = "shop-{env}"
processes.web = { image = "example/shop" }
[endpoints]
github = "http://127.0.0.1:9"
heroku = "http://127.0.0.1:9"
heroku_data = "http://127.0.0.1:9"
heroku_registry = "http://127.0.0.1:9"
firebase = "http://127.0.0.1:9"
"""


@contextmanager
def running(folder: Path, *arguments: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`liftlock serve` as a process: what it said first, and the process. It is ended by its id."""
    (folder / "liftlock.toml").write_text(PROJECT)
    process = subprocess.Popen(
        [sys.executable, "-m", "liftlock", "serve", "--port", "0", *arguments],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), "LIFTLOCK_SERVER": "", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        yield said, process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_a_server_is_signed_in_to_by_its_link_answers_probes_and_stops_when_told(tmp_path: Path) -> None:
    with running(tmp_path, "--log-json") as (said, process):
        (link,) = re.findall(r"http://127\.0\.0\.1:\d+/sign-in/link/\S+", said)
        base = link.partition("/sign-in")[0]
        with httpx2.Client(base_url=base, follow_redirects=False) as browser:
            assert browser.get("/healthz").json() == {"status": "ok"}
            assert browser.get("/readyz").json() == {"status": "ok"}
            assert browser.get("/").status_code == 303
            assert browser.get(link).status_code == 303
            assert browser.get("/account").status_code == 200
            assert browser.get(link).status_code == 409
            with browser.stream("GET", "/live") as stream:
                heard = stream.iter_lines()
                assert next(heard) == "retry: 2000"
                process.send_signal(signal.SIGTERM)
                list(heard)  # the stream ends: nobody has to break it off
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0  # it ended as it was told
        lines = [json.loads(line) for line in errors.splitlines()]
        told = [line["audit"]["action"] for line in lines if line["logger"] == "liftlock.audit"]
        assert told == ["sign-in", "sign-in"]
        assert link.rpartition("/")[2] not in errors


def test_it_listens_to_other_machines_only_when_people_can_sign_in(tmp_path: Path) -> None:
    (tmp_path / "liftlock.toml").write_text(PROJECT)
    done = subprocess.run(
        [sys.executable, "-m", "liftlock", "serve", "--host", "0.0.0.0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nobody could sign in" in done.stderr


def test_tokens_are_made_listed_and_revoked_on_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "liftlock.toml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def liftlock(*arguments: str, code: int = 0) -> str:
        assert run(["serve", *arguments]) == code
        said = capsys.readouterr()
        return said.out + said.err

    text = liftlock("token", "create", "ci", "--allow", "staging=promote").split()[0]
    assert re.fullmatch(r"liftlock_\w{12}_[\w-]{43}", text)
    listed = liftlock("token", "list")
    assert "token:ci" in listed
    assert text not in listed
    id_ = text.split("_")[1]
    assert "is revoked" in liftlock("token", "revoke", id_)
    assert "revoked" in liftlock("token", "list")
    assert "there is no right 'all'" in liftlock("token", "create", "x", "--allow", "staging=all", code=2)
    assert "cannot approve" in liftlock("token", "create", "x", "--allow", "staging=approve", code=2)
    (tmp_path / "out").mkdir()
    assert "rows" in liftlock("backup", "--out", "out/serve.backup")
    assert "is not overwritten" in liftlock("backup", "--out", "out/serve.backup", code=2)
    assert "is not empty" in liftlock("restore", "out/serve.backup", code=2)
    shutil.rmtree(tmp_path / "state")
    assert "rows are restored" in liftlock("restore", "out/serve.backup")
    assert id_ in liftlock("token", "list")


async def test_a_backup_fits_either_database(tmp_path: Path, postgresql: str) -> None:
    """From SQLite to PostgreSQL and back: the same rows, and the audit log goes on counting."""
    sqlite, back = f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'two.db'}"
    async with open_store(sqlite) as store:
        await Tokens(store).create("ci", {"dev": frozenset({Right.SEE})}, created_by="ada")
        from liftlock.web.access.audit import Audit
        from liftlock.web.access.sessions import Sessions

        await Audit(store).write(None, "test")
        (line,) = await store.read(lambda c: c.execute(select(tables.audit)).mappings().all())
        rows = [{**line, "id": number} for number in range(2, 1201)]
        await store.write(lambda connection: connection.execute(insert(tables.audit), rows))
        session = await Sessions(store).begin("ada", "Ada", "session", provider_token="gho_secret")
    counted = await write_backup(sqlite, tmp_path / "one.backup")
    assert counted == 1202
    assert await read_backup(tmp_path / "one.backup", postgresql) == counted
    assert await write_backup(postgresql, tmp_path / "two.backup") == counted
    assert await read_backup(tmp_path / "two.backup", back) == counted
    async with open_store(postgresql) as store:
        await Audit(store).write(None, "after")
        lines = await Audit(store).read(limit=2)
        assert [line.action for line in lines] == ["after", "test"]
        assert lines[0].id > lines[1].id
        found = await Sessions(store).find(session.secret)
        assert found is not None
        assert found.provider_token == "gho_secret"
    (tmp_path / "bad").write_bytes((tmp_path / "one.backup").read_bytes()[:200])
    with pytest.raises(UsageError, match=r"damaged|cannot be read"):
        await read_backup(tmp_path / "bad", f"sqlite:///{tmp_path / 'three.db'}")


def test_the_log_is_a_document_a_line_or_plain_and_neither_can_draw() -> None:
    record = logging.LogRecord(
        "liftlock.audit", logging.INFO, "", 1, "promotion %s", ("done\x1b[2J\n",), None
    )
    record.audit = {"account": "ada\x1b]0;", "address": "", "environment": "staging", "subject": "1"}
    document = json.loads(JsonLines().format(record))
    assert (document["level"], document["logger"], document["audit"]["environment"]) == (
        "info",
        "liftlock.audit",
        "staging",
    )
    assert "\x1b" not in JsonLines().format(record)
    plain = PlainLines().format(record)
    assert "\x1b" not in plain
    assert "environment=staging" in plain


async def test_a_promotion_is_a_trace_with_a_span_for_each_step() -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="the extra telemetry brings it")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    kept = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(kept))
    heard: list[Mapping[str, Any]] = []
    async with api(a_world()) as asked:
        begun = await asked.asks("POST", "/promotions", 202, json={"source": "dev", "target": "staging"})
        await asked.ended(begun)
        events = (await asked.asks("GET", f"/runs/{begun['id']}/events"))["events"]
    order = Order(OrderKind.PROMOTION, "staging", "ada", "dev")
    with traced(order, heard.append, provider) as (tell, ended):
        for each in events:
            tell(each["event"])
        ended(0)
    spans = kept.get_finished_spans()
    (root,) = [span for span in spans if span.parent is None]
    assert root.name == "promotion staging"
    assert root.attributes["liftlock.requested_by"] == "ada"
    assert root.attributes["liftlock.exit_code"] == 0
    steps = [span for span in spans if span.parent is not None]
    assert {span.parent.span_id for span in steps} == {root.context.span_id}
    assert {"stage", "backup", "release", "verify", "record"} <= {span.name for span in steps}
    assert len(heard) == len(events)


def test_traces_arrive_at_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over OTLP, in a process of its own: a provider is set once in a process."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra telemetry brings it")
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    script = (
        "import os\n"
        "from liftlock.web.work.orders import Order, OrderKind\n"
        "from liftlock.web.work.traces import begin_traces, traced\n"
        "end = begin_traces(os.environ, 'shop')\n"
        "with traced(Order(OrderKind.ROLLBACK, 'staging', 'ada'), lambda event: None) as (tell, ended): ended(1)\n"
        "end()\n"
    )
    try:
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                 "OTEL_EXPORTER_OTLP_COMPRESSION": "none"},
            check=True, timeout=60,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert any(b"rollback staging" in body and b"liftlock.exit_code" in body for body in received)


def test_without_a_collector_nothing_is_sent() -> None:
    begin_traces({}, "shop")()


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze")
    text = (ROOT / "packaging" / "liftlock.service").read_text("utf-8")
    unit = tmp_path / "liftlock.service"
    unit.write_text(text.replace("/usr/local/lib/liftlock/bin/liftlock", sys.executable))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "liftlock.service" in line]
    assert complaints == []
    shown = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout[-600:]


def test_the_image_is_built_in_stages_and_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "packaging" / "Containerfile").read_text("utf-8")
    stages = text.split("\nFROM ")[1:]
    assert len(stages) == 2
    last = stages[1]
    assert "USER 10001:10001" in last
    assert "--require-hashes" in stages[0]
    assert "COPY . " not in text
    for line in text.splitlines():
        assert not re.search(r"(TOKEN|SECRET|PASSWORD|KEY)=", line)
