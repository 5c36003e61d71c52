"""Where the corpus goes in: each feed does with a file what a user's command would do, by the real code.

A feed raises what it is refused with. What it must not change it compares itself.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio

from liftlock.cli.promote import _load
from liftlock.config import load
from liftlock.credentials import Credentials
from liftlock.errors import LiftlockError
from liftlock.leases.numbered import NumberedLeases
from liftlock.leases.sqlite import SqliteKeeper
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import Kind
from liftlock.planning.document import saved_plan
from liftlock.platforms.firebase.globs import matcher
from liftlock.platforms.firebase.site_config import read_site_config
from liftlock.ports import NewDeployment
from liftlock.registry.archives import read_archive, read_layout
from liftlock.registry.layers import LayerCache
from tests.corpus.made import MADE
from tests.corpus.promotion import Ended, Saying, promote
from tests.ledgers.worlds import RELEASES, Ticking, new_intent

HERE = Path(__file__).parent
FOLDERS = {
    "promotion": "answers",
    "record": "payloads",
    "config": "configs",
    "plan": "plans",
    "archive": "images",
}
FOLDERS |= {"layout": "layouts", "site": "sites", "row": "rows", "lease": "leases"}
FOLDERS |= dict.fromkeys(("netrc", "docker-login", "google"), "credentials")
DIGEST = "d" * 64
TAG = "e" * 40


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the index, for one file."""

    feed: str
    file: str
    error: str
    says: str
    at: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    exit: int | None = None

    def __str__(self) -> str:
        where = re.sub(r"\W+", "-", self.at).strip("-")
        return "-".join(part for part in (self.feed, where, self.file.replace(":", "-")) if part)

    @property
    def content(self) -> bytes:
        kind, _, name = self.file.partition(":")
        return MADE[name]() if kind == "made" else (HERE / FOLDERS[self.feed] / self.file).read_bytes()


def promotion(case: Case, folder: Path) -> None:
    """A whole promotion in which a vendor answers with it."""
    saying = Saying(case.at, case.content, case.status, case.headers, case.skip)
    ended = promote(folder, [saying])
    assert ended.met[case.at] > 0, "nothing was asked there"
    _judge(case, ended)


def record(case: Case, folder: Path) -> None:
    """A whole promotion from a record with this payload."""
    _judge(case, promote(folder, payload=json.loads(case.content)))


def lease(case: Case, folder: Path) -> None:
    """A whole promotion in an environment whose newest lease says this."""
    listed = [{"ref": "refs/liftlock/observatory/staging/000007", "object": {"sha": TAG}}]
    tag = {"sha": TAG, "tagger": {"name": "ana", "date": "2026-01-01T00:00:00Z"}}
    tag["message"] = case.content.decode()
    ended = promote(
        folder,
        [
            Saying("GET /git/matching-refs/", json.dumps(listed).encode(), 200),
            Saying(f"GET /git/tags/{TAG}", json.dumps(tag).encode(), 200),
        ],
    )
    assert ended.met[f"GET /git/tags/{TAG}"] > 0
    _judge(case, ended)


def _judge(case: Case, ended: Ended) -> None:
    if ended.exit_code <= 1 and case.exit != 0:
        assert ended.unchanged, ended.said
        assert not ended.new_records, ended.said
    if case.exit is not None:
        assert ended.exit_code == case.exit, ended.said
    assert "liftlock itself failed" not in ended.said
    if ended.exit_code == 0:
        assert case.says in ended.said
        return
    raise _Said(ended)


class _Said(LiftlockError):
    """What a run ended with, as an error of the class that it named."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.said)
        self.exit_code = ended.exit_code
        self.name = ended.error


def config(case: Case, folder: Path) -> None:
    """It stands as liftlock.toml."""
    path = _written(case, folder / "liftlock.toml")
    load(path, {})


def plan(case: Case, folder: Path) -> None:
    """`promote --plan` is given it."""
    path = _written(case, folder / "plan.json")
    saved_plan(_load(path), path.name)


def archive(case: Case, folder: Path) -> None:
    """An app's image is to be read from it."""
    path = _written(case, folder / "in" / "image.tar")
    with _leaves_nothing(folder):
        read_archive(path, LayerCache(folder / "cache"))


def layout(case: Case, folder: Path) -> None:
    """It is the index of an app's image."""
    _written(case, folder / "layout" / "index.json")
    with _leaves_nothing(folder):
        read_layout(folder / "layout", LayerCache(folder / "cache"))


def site(case: Case, folder: Path) -> None:
    """It is the firebase.json of a site."""
    path = _written(case, folder / "checkout" / "firebase.json")
    for name in ("outside", "checkout/public"):
        (folder / name).mkdir()
    found = read_site_config(path.parent, "explore-dev")
    matcher(found.ignore)("index.html")


def netrc(case: Case, folder: Path) -> None:
    """It is the ~/.netrc that Heroku's token is looked for in."""
    _written(case, folder / ".netrc")
    credentials = Credentials({"HOME": str(folder)})
    authorization = credentials.authorization("heroku", "https://api.heroku.com")
    assert authorization is not None
    anyio.run(authorization)


def docker_login(case: Case, folder: Path) -> None:
    """It is the file in which `docker login` keeps its logins: without one, access is anonymous."""
    _written(case, folder / "config.json")
    credentials = Credentials({"HOME": str(folder), "DOCKER_CONFIG": str(folder)})
    assert anyio.run(credentials.registry_login, "archive", "https://ghcr.example") is None


def google(case: Case, folder: Path) -> None:
    """It is the file that GOOGLE_APPLICATION_CREDENTIALS names."""
    path = _written(case, folder / "key.json")
    credentials = Credentials({"HOME": str(folder), "GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    authorization = credentials.authorization("firebase", "https://firebasehosting.googleapis.com")
    assert authorization is not None
    anyio.run(authorization)


def row(case: Case, folder: Path) -> None:
    """It is done to the ledger's file by somebody else."""
    anyio.run(_row, case, folder / "liftlock.db")


async def _row(case: Case, path: Path) -> None:
    clock = Ticking()
    ledger = SqliteLedger(path, "observatory", clock, "ana")
    intent = await ledger.open_intent(new_intent())
    await ledger.record(NewDeployment("SSO", "staging", RELEASES["SSO"], intent.id, Kind.DEPLOY), intent)
    await ledger.approve("staging", DIGEST, datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=1))
    await _leases(ledger, clock).take("staging", "a promotion")
    ledger.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(case.content.decode())
    before = _dumped(path)
    try:
        await _read(SqliteLedger(path, "observatory", clock, "ana"), clock)
    finally:
        assert _dumped(path) == before


async def _read(ledger: SqliteLedger, clock: Any) -> None:
    """Everything that a promotion would read."""
    records = ledger.read("staging", ["SSO"])
    try:
        await records.newest()
        await records.recorded()
        await records.open_intents()
        await ledger.intents(None, 10)
        await ledger.deployments("staging", "SSO", 10)
        await ledger.approvals("staging", DIGEST)
        await _leases(ledger, clock).holding("staging")
    finally:
        ledger.close()


def _leases(ledger: SqliteLedger, clock: Any) -> NumberedLeases:
    return NumberedLeases(SqliteKeeper(ledger.file, "observatory", clock), clock.boottime)


def _dumped(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = bytes
        tables = ("intents", "deployments", "approvals", "leases")
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def _written(case: Case, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.content)
    return path


@contextmanager
def _leaves_nothing(folder: Path) -> Iterator[None]:
    """Nothing is made but the cache's own files, and there none of what was refused."""
    before = {path for path in folder.parent.rglob("*") if path.is_file()}
    above = set(folder.parent.parent.iterdir())
    try:
        yield
    finally:
        assert {path for path in folder.parent.rglob("*") if path.is_file()} == before
        assert set(folder.parent.parent.iterdir()) == above


FEEDS: Mapping[str, Callable[[Case, Path], None]] = {
    "promotion": promotion,
    "record": record,
    "lease": lease,
    "config": config,
    "plan": plan,
    "archive": archive,
    "layout": layout,
    "site": site,
    "netrc": netrc,
    "docker-login": docker_login,
    "google": google,
    "row": row,
}
