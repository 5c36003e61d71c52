"""`liftlock backups` as a program: on plain PostgreSQL, and on Heroku's side of a real sandbox."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from liftlock.databases.pg_programs import Programs
from liftlock.demo.sandbox_process import Sandbox, environment, start_sandbox
from liftlock.postgresql.address import Address, read_address
from tests.databases.conftest import PASSWORD, ROWS, SCHEMA
from tests.databases.plain import url_of

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

PLAIN = """
[project]
name = "shop"
repository = "example/shop"
ledger = "sqlite:///liftlock.db"
[environments.staging]
[apps.migrate]
command = { status = ["./s"], apply = ["./a"] }
backup = { url = "env:DATABASE_URL_{env}", folder = "backups" }
[apps.report]
command = { status = ["./s"], apply = ["./a"] }
backup = { url = "env:DATABASE_URL_{env}", folder = "backups" }
"""
HEROKU = """
[project]
name = "shop"
repository = "example/shop"
ledger = "sqlite:///liftlock.db"
[environments.staging]
[apps.web]
heroku = "shop-{env}"
backup = true
processes.web = { image = "example/shop" }
"""


@dataclass
class Shop:
    """A project's folder, and the program in it."""

    folder: Path
    program: Path
    variables: dict[str, str]

    def run(self, line: str, code: int = 0) -> str:
        """What it said; its exit code must be that one, and no secret may be in it."""
        done = subprocess.run(
            [str(self.program), "backups", *line.split()],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=100, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        assert PASSWORD not in said
        assert "postgresql://" not in said
        return said if "--json" not in line else done.stdout

    def document(self, line: str, code: int = 0) -> Any:
        return json.loads(self.run(f"{line} --json", code))


@pytest.fixture
def shop(tmp_path: Path, program: Path, database: Address) -> Shop:
    (tmp_path / "liftlock.toml").write_text(PLAIN)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    return Shop(tmp_path, program, variables | {"DATABASE_URL_staging": url_of(database)})


async def test_plain_database_from_capture_to_restore(
    shop: Shop, database: Address, programs: Programs
) -> None:
    (captured,) = shop.document("capture staging")["backups"]
    assert captured["apps"] == ["migrate", "report"]
    assert captured["id"] in shop.run("list staging report")

    shop.run("download staging migrate --out copy.dump")
    copy = (shop.folder / "copy.dump").read_bytes()
    assert len(copy) == captured["size_bytes"]
    assert "is not overwritten" in shop.run("download staging migrate --out copy.dump", 2)
    assert (shop.folder / "copy.dump").read_bytes() == copy

    verdict = shop.document("verify staging migrate")
    assert verdict["tables"] == verdict["source"] == ROWS

    await programs.query("DELETE FROM locks.lifts; INSERT INTO boats (name) VALUES ('new')", database)
    assert shop.document("verify staging migrate")["differing"] == ["locks.lifts", "public.boats"]
    shop.run("verify staging migrate --exact", 1)

    assert "--confirm staging" in shop.run(f"restore staging migrate {captured['id']}", 2)
    shop.run(f"restore staging migrate {captured['id']} --confirm production", 2)
    said = shop.run(f"restore staging migrate {captured['id']} --confirm staging")
    assert "command has no maintenance mode" in said
    assert await programs.tables(database) == ROWS
    assert len(shop.document("list staging")["backups"]) == 2

    shop.run("prune staging --keep 1", 2)
    assert len(shop.document("prune staging --keep 1 --yes")["deleted"]) == 1
    assert len(shop.document("list staging")["backups"]) == 1


async def test_backup_that_lacks_what_the_database_has_fails(
    shop: Shop, database: Address, programs: Programs
) -> None:
    await programs.query("TRUNCATE boats, locks.lifts", database)
    shop.run("capture staging")
    await programs.query("INSERT INTO boats (name) VALUES ('new'); CREATE TABLE since ()", database)
    said = shop.run("verify staging migrate", 1)
    assert "public.since is missing" in said
    assert "public.boats is empty: the database has 1 rows" in said


async def test_verify_on_a_named_server_takes_no_password_in_its_arguments(
    shop: Shop, server: Address
) -> None:
    shop.run("capture staging")
    assert "everybody on this machine can read it" in shop.run(
        f"verify staging migrate --into postgres://u:{PASSWORD[:7]}@db/x", 2
    )
    shop.variables["SCRATCH"] = url_of(server)
    assert shop.document("verify staging migrate --into env:SCRATCH")["tables"] == ROWS


async def test_damaged_backup_is_neither_downloaded_nor_verified(shop: Shop) -> None:
    shop.run("capture staging")
    (dump,) = (shop.folder / "backups").rglob("*.dump")
    dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    assert "its sha256 differs" in shop.run("download staging migrate --out copy.dump", 1)
    assert "its sha256 differs" in shop.run("verify staging migrate", 1)
    assert [p.name for p in shop.folder.iterdir() if "copy" in p.name] == []


async def test_missing_address_is_named(shop: Shop) -> None:
    del shop.variables["DATABASE_URL_staging"]
    assert "env:DATABASE_URL_staging" in shop.run("list staging", 2)


@pytest.fixture
def heroku(tmp_path: Path, program: Path) -> Iterator[tuple[Shop, Sandbox]]:
    """A real sandbox with an app and its database."""
    (tmp_path / "liftlock.toml").write_text(HEROKU)
    sandbox = start_sandbox(tmp_path / "sandbox", modelled=False)
    try:
        sandbox.request(
            "PUT",
            "/_sandbox/world",
            {"heroku": {"apps": [{"name": "shop-staging", "database": True, "config_vars": {}}]}},
        )
        variables = environment(sandbox, tmp_path) | {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        yield Shop(tmp_path, program, variables), sandbox
    finally:
        sandbox.stop()


async def test_heroku_database_is_restored_and_verified(
    heroku: tuple[Shop, Sandbox], programs: Programs
) -> None:
    shop, sandbox = heroku
    database = read_address(_database_url(sandbox), "DATABASE_URL")
    await programs.query(SCHEMA, database)
    shop.run("capture staging")
    verdict = shop.document("verify staging web")
    assert verdict["tables"] == verdict["source"] == ROWS
    await programs.query("DELETE FROM locks.lifts", database)
    shop.run("restore staging web b001 --confirm staging")
    assert await programs.tables(database) == ROWS
    shop.run("download staging web b001 --out copy.dump")
    assert (shop.folder / "copy.dump").read_bytes().startswith(b"PGDMP")

    rule = {"vendor": None, "path": "^/_backups/", "action": "body", "body": "<html>", "times": 1}
    sandbox.request("POST", "/_sandbox/faults", rule)
    said = shop.run("download staging web b001 --out other.dump", 1)
    assert "bytes, and" in said
    assert not (shop.folder / "other.dump").exists()


def _database_url(sandbox: Sandbox) -> str:
    request = Request(
        f"{sandbox.base}/apps/shop-staging/config-vars",
        headers={"Accept": "application/vnd.heroku+json; version=3", "Authorization": "Bearer owner"},
    )
    with urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["DATABASE_URL"])
