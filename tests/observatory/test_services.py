"""The observatory's services answer, keep what they are given, and end when they are told to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

Start = Callable[..., Any]
NewDatabase = Callable[[str], str]


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("service.py", ["services/sso", "services/itc", "services/odb", "services/resource"]),
        ("worker.py", ["services/calibration", "services/obscalc"]),
        ("services.js", ["explore/public", "admin/resource-ui/public", "admin/admin-ui/public"]),
        ("style.css", ["explore/public", "admin/resource-ui/public", "admin/admin-ui/public"]),
    ],
)
def test_the_files_that_stand_in_several_folders_are_the_same(
    observatory: Path, name: str, folders: list[str]
) -> None:
    assert len({(observatory / folder / name).read_bytes() for folder in folders}) == 1


def test_a_service_says_who_it_is_and_ends_cleanly(observatory: Path, start: Start) -> None:
    itc = start(observatory / "services/itc", ENVIRONMENT="dev", DYNO="web.1")
    status, who = itc.ask("/")
    assert status == 200
    assert (who["system"], who["environment"], who["process"]) == ("ITC", "dev", "web.1")
    assert itc.ask("/health") == (200, {"status": "ok", "system": "ITC", "detectors": 4})
    assert itc.ask("/nowhere")[0] == 404
    assert itc.ask("/health", method="DELETE")[0] == 405
    assert itc.stop() == 0


def test_itc_asks_for_longer_exposures_of_fainter_stars(observatory: Path, start: Start) -> None:
    itc = start(observatory / "services/itc")
    bright, faint = (itc.ask(f"/exposure?magnitude={magnitude}")[1] for magnitude in (18, 23))
    assert 0 < bright["total_s"] < faint["total_s"] / 50
    assert faint["exposures"] * faint["exposure_s"] >= faint["total_s"]
    refused = {"error": "magnitude must be a number, not 'bright'"}
    assert itc.ask("/exposure?magnitude=bright") == (400, refused)
    assert itc.ask("/exposure?instrument=Kodak")[0] == 404


def test_a_service_without_its_database_is_not_healthy(observatory: Path, start: Start) -> None:
    sso = start(observatory / "services/sso", DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert sso.ask("/")[0] == 200
    status, answer = sso.ask("/health")
    assert status == 503
    assert "the database does not answer" in answer["error"]


def test_sso_issues_sessions_and_ends_them(
    observatory: Path, start: Start, new_database: NewDatabase
) -> None:
    address = new_database("sso")
    sso = start(observatory / "services/sso", DATABASE_URL=address)
    status, session = sso.ask("/api/v1/sessions", method="POST", body={"user": "guest"})
    assert status == 201
    assert sso.ask("/api/v1/session", token=session["token"])[1]["role"] == "guest"
    assert sso.ask("/api/v1/session", token="made up")[0] == 401
    assert sso.ask("/api/v1/session", method="DELETE", token=session["token"]) == (200, {"ended": 1})
    assert sso.ask("/api/v1/session", token=session["token"])[0] == 401
    with psycopg.connect(address) as database:
        sso.ask("/api/v1/sessions", method="POST", body={"user": "guest"})
        (stored,) = database.execute("SELECT token_hash FROM sessions").fetchone() or ("",)
    assert re.fullmatch("[0-9a-f]{64}", stored)


def test_resource_lists_instruments_and_keeps_their_status(
    observatory: Path, start: Start, new_database: NewDatabase
) -> None:
    resource = start(observatory / "services/resource", DATABASE_URL=new_database("resource"))
    assert resource.ask("/health")[1]["instruments"] == 5
    names = [telescope["name"] for telescope in resource.ask("/telescopes")[1]]
    assert names == ["Gemini North", "Gemini South"]
    assert resource.ask("/instruments/GHOST", method="PATCH", body={"status": "offline"})[0] == 200
    south = resource.ask("/telescopes")[1][1]
    assert {i["name"]: i["status"] for i in south["instruments"]}["GHOST"] == "offline"


def test_odb_migrates_in_its_release_phase_and_works_with_its_neighbours(
    observatory: Path, start: Start, new_database: NewDatabase
) -> None:
    """The whole of ODB: the release phase, web, and both workers, with SSO and ITC beside them."""
    services, address = observatory / "services", new_database("odb")
    release = start(services / "odb", wait=False, DYNO="release.4711", DATABASE_URL=address)
    assert release.process.wait(20) == 0
    again = start(services / "odb", wait=False, DYNO="release.4712", DATABASE_URL=address)
    assert again.process.wait(20) == 0

    sso = start(services / "sso", DATABASE_URL=new_database("odb_sso"))
    itc = start(services / "itc")
    odb = start(services / "odb", DYNO="web.1", DATABASE_URL=address, SSO_ROOT=sso.root)
    assert odb.ask("/health")[1]["schema"] == "0002_calculations"
    assert odb.ask("/programs", method="POST", body={"title": "Stolen"}, token="made up")[0] == 401
    token = sso.ask("/api/v1/sessions", method="POST", body={"user": "observer"})[1]["token"]
    status, program = odb.ask("/programs", method="POST", body={"title": "Dust"}, token=token)
    assert (status, program["id"], program["investigator"]) == (201, "G-2026B-0103-Q", "observer")
    path = f"/programs/{program['id']}/observations"
    body = {"title": "A dusty disc", "instrument": "GHOST", "magnitude": 9.5}
    assert odb.ask(path, method="POST", body=body, token=token)[0] == 201

    worker = {"DATABASE_URL": address, "ITC_ROOT": itc.root}
    calibration = start(services / "calibration", wait=False, CALIBRATION_PAUSE_S="0.05", **worker)
    obscalc = start(services / "obscalc", wait=False, OBSCALC_PAUSE_S="0.05", **worker)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        counts = odb.ask("/counts")[1]
        if counts["pending"] == 0 and counts["calibrations"] == 4:
            break
        time.sleep(0.05)
    assert counts == {
        "programs": 3,
        "science": 4,
        "calibrations": 4,
        "pending": 0,
        "schema": "0002_calculations",
    }
    assert all(row["total_s"] > 0 for row in odb.ask(path)[1])
    assert (calibration.stop(), obscalc.stop()) == (0, 0)


def test_a_release_phase_without_a_database_fails(observatory: Path, start: Start) -> None:
    release = start(
        observatory / "services/odb",
        wait=False,
        DYNO="release.1",
        DATABASE_URL="postgresql://127.0.0.1:1/none",
    )
    assert release.process.wait(20) == 1
