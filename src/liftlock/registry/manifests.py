"""Image manifests and indexes, as registries hold them: checked, hashed, and converted where need be.

A manifest is its bytes: its digest is over them, so they are kept and sent on as they came.
Source: OCI image specification, "Image Manifest" and "Image Index"; Docker Registry, "Image
Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liftlock.errors import ArtifactMissing
from liftlock.model import Digest, ImageId

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
ACCEPT = ", ".join((SCHEMA2, OCI_MANIFEST, DOCKER_LIST, OCI_INDEX))

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

LARGEST = 16 * 1024 * 1024
"""The bytes that a manifest or a config may have: registries take 4 MiB."""

_INDEXES = frozenset({DOCKER_LIST, OCI_INDEX})
_MANIFESTS = frozenset({SCHEMA2, OCI_MANIFEST})
_CONFIGS = frozenset({DOCKER_CONFIG, OCI_CONFIG})
_AS_DOCKER = {
    OCI_CONFIG: DOCKER_CONFIG,
    "application/vnd.oci.image.layer.v1.tar+gzip": DOCKER_LAYER,
    "application/vnd.oci.image.layer.v1.tar": "application/vnd.docker.image.rootfs.diff.tar",
}
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class WrongManifest(ValueError):
    """What is wrong with a manifest, in words that complete "… is not an image: "."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a manifest names it. `size` is in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform."""

    content: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def digest(self) -> Digest:
        return Digest(sha256(self.content))

    @property
    def image_id(self) -> ImageId:
        return ImageId(self.config.digest)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob once, the largest first: it decides how long a copy takes."""
        distinct = {blob.digest: blob for blob in (self.config, *self.layers)}
        return tuple(sorted(distinct.values(), key=lambda blob: -blob.size))

    @property
    def size_bytes(self) -> int:
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class Index:
    """Images for several platforms; `image` is the digest of the one for linux/amd64."""

    content: bytes
    media_type: str
    image: str
    image_media_type: str = OCI_MANIFEST

    @property
    def digest(self) -> Digest:
        return Digest(sha256(self.content))


def sha256(content: bytes) -> str:
    """`sha256:` and the hexadecimal digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_sha256(text: str) -> bool:
    """Whether a text is `sha256:` and 64 hexadecimal digits, and nothing else."""
    return _SHA256.fullmatch(text) is not None


def parse(content: bytes, content_type: str) -> Manifest | Index:
    """A manifest or an index from its bytes and the `Content-Type` it came with.

    Raises `WrongManifest` for everything that is not an image which can be run on linux/amd64.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _INDEXES | _MANIFESTS:
        raise WrongManifest(f"its content type is {media_type or 'missing'}")
    try:
        payload = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise WrongManifest("it is not JSON") from error
    if not isinstance(payload, dict):
        raise WrongManifest("it is not a JSON object")
    named = payload.get("mediaType", media_type)
    if named != media_type:
        raise WrongManifest(f"it calls itself {str(named)[:80]!r} and came as {media_type}")
    if media_type in _INDEXES:
        image = _for_this_platform(payload)
        return Index(content, media_type, image.digest, image.media_type)
    config = _descriptor(payload.get("config"), "config")
    if config.media_type not in _CONFIGS:
        raise WrongManifest(f"its config is {config.media_type!r}, so it is another kind of artifact")
    layers = payload.get("layers")
    if not isinstance(layers, list):
        raise WrongManifest("it has no layers")
    described = tuple(_descriptor(layer, f"layers[{place}]") for place, layer in enumerate(layers))
    return Manifest(content, media_type, config, described)


def as_schema2(manifest: Manifest) -> Manifest:
    """The same image as a Docker schema 2 manifest: same config and layers, another manifest digest.

    Raises `ArtifactMissing` for layers that schema 2 cannot carry (zstd).
    """
    if manifest.media_type == SCHEMA2 and all(
        blob.media_type not in _AS_DOCKER for blob in (manifest.config, *manifest.layers)
    ):
        return manifest
    return schema2(docker_blob(manifest.config), tuple(docker_blob(layer) for layer in manifest.layers))


def has_zstd(manifest: Manifest) -> bool:
    """Whether a layer of it is packed with zstd, which schema 2 cannot carry."""
    return any(layer.media_type.endswith("+zstd") for layer in manifest.layers)


def schema2(config: Descriptor, layers: tuple[Descriptor, ...]) -> Manifest:
    """A new schema 2 manifest; the same blobs give the same bytes."""
    payload = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": _json(config),
        "layers": [_json(layer) for layer in layers],
    }
    return Manifest(json.dumps(payload, separators=(",", ":")).encode(), SCHEMA2, config, layers)


def _json(blob: Descriptor) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "size": blob.size, "digest": blob.digest}


def docker_blob(blob: Descriptor) -> Descriptor:
    """The same blob under Docker's media type. Raises `ArtifactMissing` where Docker has none for it."""
    media_type = _AS_DOCKER.get(blob.media_type, blob.media_type)
    if not media_type.startswith("application/vnd.docker."):
        raise ArtifactMissing(
            f"An image with a blob of {blob.media_type} cannot be given to a registry that takes "
            "Docker's schema 2 alone.",
            hint="Build it with gzip layers (with BuildKit: --output type=image,compression=gzip).",
        )
    return Descriptor(media_type, blob.digest, blob.size)


def _descriptor(value: Any, where: str) -> Descriptor:
    if not isinstance(value, Mapping):
        raise WrongManifest(f"{where} is missing")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_sha256(digest):
        raise WrongManifest(f"{where} has no SHA-256 digest")
    if type(size) is not int or not 0 <= size < 2**63:
        raise WrongManifest(f"{where} has no size")
    return Descriptor(media_type if isinstance(media_type, str) else "", digest, size)


def _for_this_platform(payload: Mapping[str, Any]) -> Descriptor:
    entries = payload.get("manifests")
    if not isinstance(entries, list):
        raise WrongManifest("it is an index without manifests")
    seen = []
    for entry in entries:
        platform = entry.get("platform") if isinstance(entry, Mapping) else None
        if not isinstance(platform, Mapping):
            continue
        name = f"{platform.get('os')}/{platform.get('architecture')}"
        if name == "linux/amd64":
            return _descriptor(entry, "the entry for linux/amd64")
        if name != "unknown/unknown":  # BuildKit's attestations
            seen.append(name)
    raise WrongManifest(f"it has no image for linux/amd64, only for {', '.join(seen) or 'nothing'}")
