"""The board of a run: it fits the terminal, holds still, and needs no colour."""

from __future__ import annotations

import pytest

from liftlock.cli.live import Board
from liftlock.engine.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    UndoStarted,
)

APPS = ("SSO", "ODB", "preferences")


def board(apps: tuple[str, ...] = APPS, expected_s: float | None = 130.0) -> Board:
    return Board(RunStarted("1", "promotion", "staging", "dev", "f" * 64, apps, 24, expected_s, True), 0.0)


def heard(board: Board, *events: tuple[float, Event]) -> Board:
    for at, event in events:
        board.hear(event, at)
    return board


def started(kind: str, app: str, expected_s: float | None = None) -> StepStarted:
    return StepStarted(f"{kind}:{app}", kind, app, expected_s)


def finished(kind: str, app: str, outcome: str = "done") -> StepFinished:
    return StepFinished(f"{kind}:{app}", kind, outcome, 1.0, app)


def busy() -> Board:
    return heard(
        board(),
        *[(0.0, started("stage", app)) for app in APPS],
        *[(0.4, finished("stage", app)) for app in APPS],
        (0.0, started("backup", "ODB", 40.0)),
        (1.0, StepProgress("backup:ODB", "60 % of 12.3 GB, and a line that goes on and on", "ODB")),
    )


def lines(board: Board, now: float, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in board.draw(now, width, height)]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
@pytest.mark.parametrize("height", [6, 10, 24])
def test_every_line_fits_the_terminal(width: int, height: int) -> None:
    many = tuple(f"app-{number}" for number in range(64))
    for made in (busy(), heard(board(many), (0.0, started("verify", "app-40", 30.0)))):
        drawn = made.draw(75.0, width, height)
        assert len(drawn) < height
        assert max(line.cell_len for line in drawn) <= width


def test_each_app_tells_each_step_with_elapsed_and_expected_time() -> None:
    head, sso, odb, preferences, whole, waits = lines(busy(), 12.0)
    assert head.split() == ["stage", "back", "up", "record"]
    assert sso.split() == ["SSO", "✓", "0.4", "s", "·", "·"]
    assert odb.split() == ["ODB", "✓", "0.4", "s", "0:12", "of", "~0:40", "·"]
    assert preferences.split()[0] == "preferences"
    assert whole.strip() == "0:12 of about 2:10, 3 of 24 steps"
    assert waits.strip().startswith("ODB: 60 % of 12.3 GB")


def test_a_narrow_terminal_tells_the_newest_step_of_each_app() -> None:
    made = heard(busy(), (10.0, finished("backup", "ODB")), (11.0, started("release", "ODB", 20.0)))
    _, odb, *_ = lines(made, 15.0, width=44)
    assert odb.split() == ["ODB", "switch", "0:04", "of", "~0:20"]


def test_where_there_is_no_room_those_at_work_are_shown_in_their_order() -> None:
    many = tuple(f"app-{number}" for number in range(64))
    made = heard(board(many), (0.0, started("verify", "app-40")), (0.0, started("verify", "app-9")))
    drawn = lines(made, 1.0, height=10)
    named = [line.split()[0] for line in drawn if "app-" in line]
    assert {"app-40", "app-9"} <= set(named)
    assert named == sorted(named, key=many.index)
    assert any("and 60 more" in line for line in drawn)


def test_rows_stay_where_they_are() -> None:
    made = busy()
    before = [line.split()[0] for line in lines(made, 12.0)[1:4]]
    heard(made, (20.0, finished("backup", "ODB")))
    assert [line.split()[0] for line in lines(made, 21.0)[1:4]] == before


def test_an_apps_several_databases_share_a_cell() -> None:
    made = heard(
        board(),
        (0.0, started("backup", "ODB", 5.0)),
        (0.0, started("backup", "ODB", 5.0)),
        (4.0, finished("backup", "ODB")),
    )
    assert "0:06 of ~0:05" in lines(made, 6.0)[2]
    heard(made, (9.0, finished("backup", "ODB")))
    assert "✓ 9.0 s" in lines(made, 10.0)[2]


def test_an_undo_takes_the_place_of_the_records() -> None:
    made = heard(
        busy(),
        (20.0, started("verify", "ODB")),
        (30.0, finished("verify", "ODB", "failed")),
        (30.0, UndoStarted(("ODB",))),
        (30.0, started("undo", "ODB")),
        (32.0, finished("undo", "ODB")),
        (33.0, RunFinished("1", "failed", 1, 33.0)),
    )
    head, _, odb, *_ = lines(made, 99.0)
    assert head.split()[-2:] == ["put", "back"]
    assert "✗ 10 s" in odb
    assert odb.endswith("✓ 2.0 s")
    assert lines(made, 99.0)[-1].strip() == "33 s, 3 of 24 steps"


def test_nothing_known_is_nothing_promised() -> None:
    assert lines(board(expected_s=None), 12.0)[-1].strip() == "0:12, 0 of 24 steps"
