"""The reproducible builder: the same files give the same image, and only they do."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from liftlock.errors import UsageError
from liftlock.registry.image_builder import build_image
from liftlock.registry.layers import LayerCache, Part
from liftlock.registry.local_images import LocalImage
from liftlock.registry.manifests import SCHEMA2


def layer_of(image: LocalImage) -> bytes:
    part = image.blobs[image.schema2.layers[0].digest]
    assert isinstance(part, Part)
    return part.path.read_bytes()


def config_of(image: LocalImage) -> bytes:
    config = image.blobs[image.image_id.value]
    assert isinstance(config, bytes)
    return config


def build(directory: Path, out: Path, command: tuple[str, ...] = ("./start",)) -> LocalImage:
    out.mkdir()
    return build_image(directory, command, LayerCache(out))


def test_the_same_files_give_the_same_image(service: Path, tmp_path: Path) -> None:
    one = build(service, tmp_path / "1")
    copy = tmp_path / "elsewhere"
    shutil.copytree(service, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    (copy / "app.py").chmod(0o600)
    (copy / "data").chmod(0o700)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "app.pyc").write_bytes(b"x")
    (copy / ".git").mkdir()
    other = build(copy, tmp_path / "2")
    assert one.schema2 == other.schema2
    assert layer_of(one) == layer_of(other)


@pytest.mark.parametrize("change", ["content", "name", "mode", "empty folder", "command"])
def test_every_change_that_matters_gives_another_image(service: Path, tmp_path: Path, change: str) -> None:
    before = build(service, tmp_path / "1").image_id
    command: tuple[str, ...] = ("./start",)
    match change:
        case "content":
            (service / "app.py").write_text("print('down')\n")
        case "name":
            (service / "app.py").rename(service / "main.py")
        case "mode":
            (service / "app.py").chmod(0o755)
        case "empty folder":
            (service / "cache").mkdir()
        case "command":
            command = ("./start", "web")
    assert build(service, tmp_path / "2", command).image_id != before


def test_the_image_is_what_it_says(service: Path, tmp_path: Path) -> None:
    (service / "link").symlink_to("data/stars.csv")
    image = build(service, tmp_path / "out")
    config = json.loads(config_of(image))
    packed = layer_of(image)
    plain = gzip.decompress(packed)
    layer = image.schema2.layers[0]
    assert image.schema2.media_type == SCHEMA2
    assert (layer.digest, layer.size) == (f"sha256:{hashlib.sha256(packed).hexdigest()}", len(packed))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["config"]["Cmd"] == ["./start"]
    assert config["config"]["WorkingDir"] == "/app"
    assert image.image_id.value == f"sha256:{hashlib.sha256(config_of(image)).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        entries = {entry.name: entry for entry in tar}
    assert list(entries) == ["app", "app/app.py", "app/data", "app/data/stars.csv", "app/link", "app/start"]
    assert {e.name: oct(e.mode) for e in entries.values() if e.isfile()} == {
        "app/app.py": "0o644",
        "app/data/stars.csv": "0o644",
        "app/start": "0o755",
    }
    assert entries["app/link"].linkname == "data/stars.csv"
    assert {(e.uid, e.gid, e.uname, e.mtime) for e in entries.values()} == {(0, 0, "", 0)}


def test_the_image_id_of_known_files_never_changes(tmp_path: Path) -> None:
    """The id is what a team has in its records: another version of liftlock must build the same."""
    folder = tmp_path / "known"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    image = build(folder, tmp_path / "out", ("cat", "hello.txt"))
    assert image.image_id.value == KNOWN


KNOWN = "sha256:59dcb511646acfd33d878492a002c3b090b12446feead3144ced4b788d0a3417"


def test_what_cannot_be_in_an_image_is_named(service: Path, tmp_path: Path) -> None:
    (service / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"passwords points out of"):
        build(service, tmp_path / "1")
    (service / "passwords").unlink()
    os.mkfifo(service / "pipe")
    with pytest.raises(UsageError, match=r"pipe is neither a file, a folder nor a link"):
        build(service, tmp_path / "2")
    with pytest.raises(UsageError, match="is not a directory"):
        build(tmp_path / "absent", tmp_path / "3")
