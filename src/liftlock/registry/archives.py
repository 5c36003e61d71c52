"""Images as other tools leave them in files: OCI layouts and archives, and what `docker save` writes.

No container engine is needed to read them. A layout's manifest is kept byte for byte for registries
that take it; `docker save` writes none, so one is made, the same for the same image.
Source: OCI image specification, "Image Layout"; Docker, "docker image save", `manifest.json`.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from liftlock.errors import LiftlockError, UsageError
from liftlock.registry.layers import LayerCache, Part
from liftlock.registry.local_images import LocalImage, OtherPlatform, diff_ids, packed_image
from liftlock.registry.manifests import (
    DOCKER_CONFIG,
    LARGEST,
    Descriptor,
    Manifest,
    WrongManifest,
    docker_blob,
    parse,
    schema2,
    sha256,
)
from liftlock.tar_files import TAR_ERRORS, members
from liftlock.wording import size

Find = Callable[[str], Part | None]
"""Where a file of the layout or archive lies, by its name there."""


def read_layout(folder: Path, cache: LayerCache) -> LocalImage:
    """The image in an OCI layout, a folder. Blocks. Raises `LiftlockError` for what is none."""
    if not (folder / "index.json").is_file():
        raise UsageError(
            f"{folder} is not an OCI layout: it has no index.json.",
            hint="Check `layout` in the app's processes: it is relative to the repository's root.",
        )

    def find(name: str) -> Part | None:
        path = folder / name
        if posixpath.isabs(name) or ".." in name.split("/"):  # a layout that reads what is not its own
            return None
        try:
            return Part(path, 0, path.stat().st_size) if path.is_file() else None
        except (OSError, ValueError):  # a name that no file can have
            return None

    return _read(find, str(folder), cache)


def read_archive(file: Path, cache: LayerCache) -> LocalImage:
    """The image in a tar file: an OCI archive, or what `docker save` wrote. Blocks.

    Raises `LiftlockError` for what is neither, and for an archive that holds several images.
    """
    try:
        with tarfile.open(file, "r:") as tar:
            found = {posixpath.normpath(member.name): member for member in members(tar)}
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no archive {file}.",
            hint="Check `archive` in the app's processes, or name the command that writes it as `build`.",
        ) from error
    except TAR_ERRORS as error:
        raise LiftlockError(
            f"{file} is not a tar archive: {error}.",
            hint="If it is compressed, unpack it first: layers are compressed on their own.",
        ) from error

    def find(name: str) -> Part | None:
        for _ in range(2):
            member = found.get(posixpath.normpath(name))
            if member is None or member.isreg():
                break
            # `docker save` links to a layer that an earlier image of the archive has.
            name = posixpath.join(posixpath.dirname(member.name) if member.issym() else "", member.linkname)
        return Part(file, member.offset_data, member.size) if member and member.isreg() else None

    return _read(find, str(file), cache)


def _read(find: Find, what: str, cache: LayerCache) -> LocalImage:
    saved, index = find("manifest.json"), find("index.json")
    if saved is not None:
        try:
            return _docker_save(find, saved, what, cache)
        except OtherPlatform:
            # Of an image for several platforms, an engine names its own there, and all in the layout beside it;
            # the layout may list ours without having it, when the image was pulled for that engine alone.
            if index is not None:
                with suppress(LiftlockError):
                    return _oci(find, index, what, cache)
            raise
    if index is None:
        raise LiftlockError(
            f"{what} is no image: it has neither manifest.json nor index.json.",
            hint="Write it with `docker image save` or as an OCI archive.",
        )
    return _oci(find, index, what, cache)


def _docker_save(find: Find, saved: Part, what: str, cache: LayerCache) -> LocalImage:
    entries = _json(saved, what)
    if not isinstance(entries, list) or len(entries) != 1:
        number = len(entries) if isinstance(entries, list) else 0
        raise LiftlockError(
            f"{what} holds {number} images, and one is needed.", hint="Save one image into one file."
        )
    try:
        config = _content(_there(find, entries[0]["Config"], what))
        layers = [_there(find, name, what) for name in list(entries[0]["Layers"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise LiftlockError(
            f"{what} has a manifest.json that is not Docker's.", hint="Save it again."
        ) from error
    return packed_image(config, cache.pack_all(_paired(config, layers, what), what), cache.drop)


def _oci(find: Find, index: Part, what: str, cache: LayerCache) -> LocalImage:
    original = _image_manifest(find, index, what)
    config = _content(_blob(find, original.config.digest, what))
    if sha256(config) != original.config.digest:
        raise LiftlockError(
            f"{what} has a config that is not {original.config.digest}.", hint="Make it again."
        )
    blobs: dict[str, bytes | Part] = {original.config.digest: config}
    parts = [_blob(find, layer.digest, what) for layer in original.layers]
    layers: list[Descriptor] = []
    for layer, (diff_id, part) in zip(original.layers, _paired(config, parts, what), strict=True):
        if part.size != layer.size:
            raise LiftlockError(
                f"{what} has {part.size} bytes of the layer {layer.digest}, not {layer.size}."
            )
        blobs[layer.digest] = part
        if layer.media_type.endswith("gzip"):
            layers.append(docker_blob(layer))
        else:
            (packed,) = cache.pack_all([(diff_id, part)], what)
            blobs[packed.digest] = packed.part
            layers.append(packed.descriptor)
    config_blob = Descriptor(DOCKER_CONFIG, original.config.digest, len(config))
    return LocalImage(schema2(config_blob, tuple(layers)), blobs, original, cache.drop)


def _image_manifest(find: Find, index: Part, what: str) -> Manifest:
    """The manifest of the layout's one image, through an index of platforms if there is one."""
    entries = _json(index, what)
    listed = entries.get("manifests") if isinstance(entries, Mapping) else None
    named = [e for e in listed if isinstance(e, Mapping)] if isinstance(listed, list) else []
    if len(named) > 1:  # several platforms listed side by side, or several images
        fitting = [entry for entry in named if _platform(entry) == "linux/amd64"]
        if len(fitting) != 1:
            raise LiftlockError(
                f"{what} holds {len(named)} images, and not one for linux/amd64 alone.",
                hint="Write one image into it.",
            )
        named = fitting
    if not named:
        raise LiftlockError(f"{what} has an index.json that lists no image.", hint="Make it again.")
    digest, media_type = str(named[0].get("digest")), str(named[0].get("mediaType"))
    for _ in range(3):
        content = _content(_blob(find, digest, what))
        if sha256(content) != digest:
            raise LiftlockError(f"{what} has a manifest that is not {digest}.", hint="Make it again.")
        try:
            found = parse(content, media_type)
        except WrongManifest as error:
            raise LiftlockError(f"{what} is not an image: {error}.") from error
        if isinstance(found, Manifest):
            return found
        digest, media_type = found.image, found.image_media_type
    raise LiftlockError(f"{what} nests its indexes too deeply.")


def _platform(entry: Mapping[str, Any]) -> str:
    platform = entry.get("platform")
    return (
        f"{platform.get('os')}/{platform.get('architecture')}" if isinstance(platform, Mapping) else "unknown"
    )


def _paired(config: bytes, layers: Sequence[Part], what: str) -> list[tuple[str, Part]]:
    names = diff_ids(config, what)
    if len(names) != len(layers):
        raise LiftlockError(f"{what} has {len(layers)} layers, and its config names {len(names)}.")
    return list(zip(names, layers, strict=True))


def _blob(find: Find, digest: str, what: str) -> Part:
    return _there(find, f"blobs/{digest.replace(':', '/')}", what)


def _there(find: Find, name: str, what: str) -> Part:
    part = find(name)
    if part is None:
        raise LiftlockError(
            f"{what} lacks the file {name}.", hint="It was cut off or damaged: make it again."
        )
    return part


def _json(part: Part, what: str) -> Any:
    try:
        return json.loads(_content(part))
    except (ValueError, RecursionError) as error:
        raise LiftlockError(f"{what} holds something that is not JSON.", hint="Make it again.") from error


def _content(part: Part) -> bytes:
    if part.size > LARGEST:
        raise LiftlockError(
            f"{part.path} holds {size(part.size)} where a manifest or a config was expected.",
            hint="It was damaged, or is no image: make it again.",
        )
    with part.path.open("rb") as file:
        file.seek(part.start)
        return file.read(part.size)
