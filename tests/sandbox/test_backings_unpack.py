"""Layers come from whoever may push: nothing is written outside of the folder."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock.sandbox.backings.unpack import UnpackError, inside, unpack
from tests.sandbox.images import tarred

Make = Callable[..., Path]


def member(name: str, kind: bytes = tarfile.SYMTYPE, target: str = "", mode: int = 0o777) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Unpack archives into a root beside which a file lies that must not change."""
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "folder").mkdir()

    def unpacked(*archives: bytes) -> Path:
        root = tmp_path / "root"
        unpack([io.BytesIO(one) for one in archives], root)
        assert (tmp_path / "outside").read_text() == "untouched"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "outside", "root"]
        assert list((tmp_path / "folder").iterdir()) == []
        return root

    return unpacked


@pytest.mark.parametrize("name", ["../outside", "/../outside", "a/../../outside", "../../../../outside"])
def test_dots_stop_at_the_root(make: Make, name: str) -> None:
    root = make(tarred((name, b"new")))
    assert [path.read_bytes() for path in root.rglob("*") if path.is_file()] == [b"new"]


@pytest.mark.parametrize("target", ["../folder", "/folder", "../../folder", "nested/../../folder"])
def test_links_are_followed_inside_alone(make: Make, target: str, tmp_path: Path) -> None:
    root = make(tarred(member("link", target=target)), tarred(("link/file", b"new")))
    assert not (root / "link").resolve().is_relative_to(tmp_path / "folder")


def test_a_file_replaces_a_link_and_does_not_write_through_it(make: Make) -> None:
    root = make(tarred(member("link", target="../outside"), ("link", b"new")))
    assert (root / "link").read_bytes() == b"new"
    assert not (root / "link").is_symlink()


def test_hard_link_to_the_outside_is_left_out(make: Make) -> None:
    root = make(
        tarred(member("link", tarfile.LNKTYPE, "../outside"), ("a", b"1"), member("b", tarfile.LNKTYPE, "a"))
    )
    assert sorted(os.listdir(root)) == ["a", "b"]  # noqa: PTH208


def test_absolute_link_means_the_root(make: Make) -> None:
    root = make(tarred(("usr/bin/tool", b"x"), member("bin", target="/usr/bin")), tarred(("bin/other", b"y")))
    assert (root / "bin" / "tool").read_bytes() == b"x"
    assert (root / "usr" / "bin" / "other").read_bytes() == b"y"


def test_whiteouts_hide_lower_layers_alone(make: Make) -> None:
    root = make(
        tarred(("a/one", b"1"), ("a/two", b"2"), ("b/one", b"1"), ("c", b"1")),
        tarred(("a/.wh.one", b""), ("b/new", b"2"), ("b/.wh..wh..opq", b""), (".wh.c", b""), ("c", b"2")),
    )
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert found == ["a/two", "b/new", "c"]
    assert (root / "c").read_bytes() == b"2"


@pytest.mark.parametrize(
    "name", [".wh...", ".wh.", "a/.wh...", ".wh..wh..opq", "../.wh.outside", "../.wh..wh..opq"]
)
def test_whiteouts_take_nothing_away_outside(make: Make, name: str) -> None:
    make(tarred(("a/b", b"1")), tarred((name, b"")))


def test_devices_and_special_bits_are_left_out(make: Make) -> None:
    special = tarfile.TarInfo("setuid")
    special.mode = 0o6755
    root = make(tarred(member("null", tarfile.CHRTYPE), member("pipe", tarfile.FIFOTYPE), special))
    assert sorted(os.listdir(root)) == ["setuid"]  # noqa: PTH208
    assert (root / "setuid").stat().st_mode & 0o7777 == 0o755


def test_broken_archive_leaves_no_root(tmp_path: Path) -> None:
    with pytest.raises(UnpackError):
        unpack([io.BytesIO(b"no archive")], tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_links_in_circles_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UnpackError):
        inside(tmp_path, "a/x")
