"""The status screen at several widths, with and without colours."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from rich.cells import cell_len

from liftlock.cli.status_view import show_status
from liftlock.commands.status import Cell, Links, Status
from liftlock.documents.status import status_document
from liftlock.model import Between, Commit, Known, Recorded, Relation, Unknown
from liftlock.planning.observation import Drift
from tests.cli.screens import Screen
from tests.docs.pages import ROOT, code, prose, rows
from tests.doubles import START, app_of, deployment, project_of, release

PROJECT = project_of(app_of("SSO"), app_of("ODB"))
ENVIRONMENTS = list(PROJECT.environments)
SUBJECT = "Add observing-block priority to ODB, so that the queue knows what goes first (#128)"


def cell(app: str, environment: str, **more: object) -> Cell:
    held = release(app, "8ece2ec")
    commit = Commit(held.commit, SUBJECT, "A. Stronomer", committed_at=START, pull_request=128)
    record = deployment(app, environment, held, 5)
    links = Links("https://g.example/c", "https://g.example/p", f"https://{app}-{environment}.example")
    told = {"commit": commit, "links": links, **more}
    known = Known(held.artifacts, marker="v42")
    return Cell(app, environment, Recorded(record), known, Drift.NONE, held.artifacts, **told)  # type: ignore[arg-type]


def a_status(**of_sso_in_staging: object) -> Status:
    cells = {(app, e): cell(app, e) for app in PROJECT.apps for e in ENVIRONMENTS}
    cells["SSO", "staging"] = cell("SSO", "staging", **of_sso_in_staging)
    cells["ODB", "production"] = Cell(
        "ODB", "production", Recorded(None), Known({}), Drift.NONE, behind="dev"
    )
    return Status(cells, {})


def shown(width: int, status: Status, **options: bool) -> Screen:
    screen = Screen(width, **options)
    show_status(screen, PROJECT, status, ENVIRONMENTS, START + timedelta(hours=3))
    return screen


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
def test_every_width_says_the_same_and_no_line_is_longer(width: int) -> None:
    ahead = Between(Relation.DIVERGED, None, 12, 1)
    screen = shown(width, a_status(behind="dev", distance=ahead))
    assert max(map(cell_len, screen.lines)) <= width
    whole = " ".join(" ".join(screen.lines).split())
    assert "8ece2ec #128 Add obs" in whole
    assert "← dev +12 -1" in whole
    assert "no record" in whole
    assert "(#128)" not in whole
    is_table = screen.lines[0].split() == ["app", *ENVIRONMENTS]
    assert is_table == (width >= 120)


def test_a_commit_and_its_state_are_a_line_each_in_a_narrow_terminal() -> None:
    assert shown(60, a_status(behind="dev", distance=Between(Relation.AHEAD, None, 2, 0))).lines[:7] == [
        "SSO",
        "  dev         8ece2ec #128 Add observing-blo…  2 h",
        "  staging     8ece2ec #128 Add observing-blo…  ← dev +2  2 h",
        "  production  8ece2ec #128 Add observing-blo…  2 h",
        "ODB",
        "  dev         8ece2ec #128 Add observing-blo…  2 h",
        "  staging     8ece2ec #128 Add observing-blo…  2 h",
    ]


def test_nothing_is_said_by_colour_alone() -> None:
    status = a_status(behind="dev")
    colourful, plain = shown(120, status), shown(120, status, color=False)
    assert colourful.lines == plain.lines
    assert "\x1b[" in colourful.written
    assert "\x1b" not in plain.written


def test_commits_pull_requests_and_apps_are_links_where_there_are_colours() -> None:
    written = shown(120, a_status()).written
    for address in ("https://g.example/c", "https://g.example/p", "https://SSO-dev.example"):
        assert f";{address}\x1b\\" in written
    assert "g.example" not in shown(120, a_status(), color=False).written


def test_what_a_commit_says_is_text_and_nothing_else() -> None:
    hostile = Commit("8" * 40, "\x1b[2Jgone\r\x9b31m\u202e[red]x[/red] :boom:\nsecond", "\x1b]0;title\x07me")
    screen = shown(200, a_status(commit=hostile), color=False, verbose=True)
    assert "\x1b" not in screen.written
    assert r"\x1b[2Jgone \x9b31m\u202e[red]x[/red] :boom: second" in screen.written
    assert r"by \x1b]0;title\x07me" in screen.written


def test_machines_are_told_the_commit_and_the_distance() -> None:
    document = status_document(a_status(behind="dev", distance=Between(Relation.AHEAD, None, 2, 0)))
    staging = next(c for c in document["apps"] if (c["app"], c["environment"]) == ("SSO", "staging"))
    assert staging["recorded"]["about"] == {
        "subject": SUBJECT,
        "author": "A. Stronomer",
        "login": None,
        "committed_at": START.isoformat(),
        "pull_request": 128,
    }
    assert staging["distance"] == {"relation": "ahead", "ahead": 2, "behind": 0}
    assert staging["links"]["commit"] == "https://g.example/c"


def test_what_could_not_be_looked_at_is_said_below() -> None:
    unseen = Cell(
        "SSO", "staging", a_status().cells["SSO", "dev"].recorded, Unknown("Heroku is away"), Drift.UNKNOWN
    )
    status = a_status()
    status = Status({**status.cells, ("SSO", "staging"): unseen}, {})
    lines = shown(120, status).lines
    assert any("? unknown" in line for line in lines)
    assert "unknown: SSO in staging: Heroku is away" in lines


def test_every_key_is_described() -> None:
    page = ROOT / "docs" / "reference" / "status.md"
    document = status_document(a_status())
    described = [key for row in rows(page, "As JSON") for key in code(row[0])]
    assert described == [*document, *document["apps"][0]]
    told = prose(page)
    for part in ("recorded", "links"):
        inner = re.search(rf"^\| `{part}` \| `{{(.*?)}}`", told, re.MULTILINE)
        assert inner is not None
        assert re.findall(r'"(\w+)"', inner[1]) == list(document["apps"][0][part])
