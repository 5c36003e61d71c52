"""Bad input that was met, or that might be: each ends in a clear error, and leaves everything as it was."""

from __future__ import annotations

import resource
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock import errors
from liftlock.errors import LiftlockError
from tests.corpus.feeds import FEEDS, FOLDERS, HERE, Case
from tests.corpus.promotion import promote

INDEX = tomllib.loads((HERE / "index.toml").read_text(encoding="utf-8"))["case"]
SECRETS = ("very-secret", "hunter22", "dmVyeS1zZWNyZXQ")
MOST_MEMORY = 700 * 1024 * 1024
"""More than the whole test run may ever have had: bombs unfold to a multiple of it."""


def cases() -> Iterator[Case]:
    for entry in INDEX:
        own = {key: value for key, value in entry.items() if key not in {"at", "files"}}
        for at in entry.get("at", [""]):
            for file in entry["files"]:
                yield Case(at=at, file=file, **own)


CASES = list(cases())


@pytest.mark.promise("P1")
@pytest.mark.promise("P8")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_refused_and_changes_nothing(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    if case.error:
        with pytest.raises(LiftlockError) as caught:
            FEEDS[case.feed](case, folder)
        error = caught.value
        kind = getattr(errors, getattr(error, "name", type(error).__name__))
        said = error.message + error.hint
        assert issubclass(kind, getattr(errors, case.error)), said
        assert case.says in error.message
        assert "Traceback" not in said
        assert not any(secret in said for secret in SECRETS)
        assert len(said) < 6000
    else:
        FEEDS[case.feed](case, folder)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used * (1 if sys.platform == "darwin" else 1024) < MOST_MEMORY


def test_the_same_promotion_succeeds_without_bad_input(tmp_path: Path) -> None:
    """What the cases above are refused for is the input alone."""
    ended = promote(tmp_path)
    assert (ended.exit_code, sorted(ended.new_records)) == (0, ["Explore", "ODB", "SSO"])
    assert not ended.unchanged


def test_every_file_is_in_the_index() -> None:
    named = {(FOLDERS[case.feed], case.file) for case in CASES}
    kept = {(path.parent.name, path.name) for path in HERE.glob("*/*") if path.parent.name != "__pycache__"}
    assert kept == {(folder, file) for folder, file in named if not file.startswith("made:")}
    assert len(CASES) >= 100
