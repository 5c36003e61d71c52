"""A file that was checked before is not checked again, and whatever is different is."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from liftlock.config import load
from liftlock.errors import ConfigurationError

TEXT = """
[project]
name = "shop"
repository = "example/shop"
[environments.dev]
[environments.production]
from = ["dev"]
gates = { soak = "2h" }
[apps.API]
heroku = "api-{env}"
backup = true
processes.web = { image = "api", secrets = {} }
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "liftlock.toml"
    path.write_text(TEXT)
    return path


def kept(environ: dict[str, str]) -> list[Path]:
    return sorted(Path(environ["HOME"], ".cache/liftlock/projects").glob("*"))


def test_the_second_time_gives_the_same_project(file: Path, environ: dict[str, str]) -> None:
    first = load(file, environ)
    (one,) = kept(environ)
    stamp = one.stat().st_mtime_ns
    assert load(file, environ) == first
    assert one.stat().st_mtime_ns == stamp
    assert load(file, {}) == first


def test_nothing_that_checks_is_imported_the_second_time(file: Path, environ: dict[str, str]) -> None:
    script = (
        "import sys; from pathlib import Path; from liftlock.config import load;"
        f" load(Path({str(file)!r}), {environ!r}); print('pydantic' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_another_text_another_folder_and_another_variable_are_read_anew(
    file: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    load(file, environ)
    file.write_text(TEXT.replace("api-{env}", "new-{env}"))
    assert load(file, environ).apps["API"].targets["dev"].name == "new-dev"
    (tmp_path / "below").mkdir()
    moved = tmp_path / "below" / "liftlock.toml"
    moved.write_text(TEXT)
    assert load(moved, environ).root == str(moved.parent)
    address = "http://127.0.0.1:7"
    assert load(file, {**environ, "GITHUB_API_URL": address}).endpoints["github"] == address
    assert len(kept(environ)) == 4


def test_a_wrong_file_is_wrong_every_time(file: Path, environ: dict[str, str]) -> None:
    file.write_text(TEXT.replace("[apps.API]", "[apps.API]\nherok = 1"))
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            load(file, environ)
    assert kept(environ) == []


class Explodes:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('this must not be run')",))


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_what_others_may_write_is_never_opened(file: Path, environ: dict[str, str], mode: int) -> None:
    first = load(file, environ)
    (one,) = kept(environ)
    one.write_bytes(pickle.dumps(Explodes()))
    one.chmod(mode)
    assert load(file, environ) == first
    one.unlink()
    one.symlink_to(file)
    assert load(file, environ) == first
    one.parent.chmod(0o777)
    assert load(file, environ) == first


def test_what_would_run_something_is_read_anew(file: Path, environ: dict[str, str]) -> None:
    first = load(file, environ)
    (one,) = kept(environ)
    one.write_bytes(pickle.dumps(Explodes()))
    assert load(file, environ) == first


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"name": "shop"})])
def test_what_is_broken_is_read_anew(file: Path, environ: dict[str, str], content: bytes) -> None:
    first = load(file, environ)
    (one,) = kept(environ)
    one.write_bytes(content)
    assert load(file, environ) == first


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(file: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    assert load(file, {"HOME": str(tmp_path / "home")}).name == "shop"


def test_the_oldest_go(file: Path, environ: dict[str, str]) -> None:
    for number in range(40):
        file.write_text(f"{TEXT}# {number}\n")
        load(file, environ)
    assert len(kept(environ)) == 32
