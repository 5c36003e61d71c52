"""Images as the registry keeps them and as dynos are started from them.

An image is known by its *image id*, the digest of its configuration; a manifest that names it may
lie in many repositories. Blobs are kept once, by content, whatever repository they came through.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
BEHAVIOUR_LABEL = "io.liftlock.sandbox"


@dataclass(frozen=True, slots=True)
class Image:
    """What is needed to start a process of an image. `id` and `layers` are digests (`sha256:…`)."""

    id: str
    layers: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    directory: str = "/"
    behaviour: str = ""
    """The label `io.liftlock.sandbox`: how a modelled process behaves."""

    @property
    def argv(self) -> tuple[str, ...]:
        return self.entrypoint + self.cmd


def digest_of(content: bytes) -> str:
    """`sha256:…` of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def hex_of(digest: str) -> str:
    """The blob store's name of a digest."""
    return digest.removeprefix("sha256:")


def put_manifest(cloud: Cloud, repository: str, content: bytes, media_type: str, reference: str) -> str:
    """Keep a manifest whose blobs are present, under its digest and, when `reference` is a tag, the tag.

    Gives the manifest's digest. Safe to repeat; a tag moves.
    """
    digest = digest_of(content)
    if f"{repository}@{digest}" not in cloud.store.table("registry.manifests"):
        cloud.store.blobs.put(content)
        manifest = json.loads(content)
        document = {"media_type": media_type, "size": len(content)}
        cloud.store.table("registry.manifests").put(f"{repository}@{digest}", document)
        config = manifest.get("config")
        if isinstance(config, dict) and isinstance(manifest.get("layers"), list):
            layers = [layer["digest"] for layer in manifest["layers"]]
            cloud.store.table("registry.images").put(config["digest"], {"layers": layers})
            cloud.store.table("registry.held").put(f"{repository}@{config['digest']}", {"manifest": digest})
    if not reference.startswith("sha256:"):
        cloud.store.table("registry.tags").put(f"{repository}:{reference}", {"digest": digest})
    return digest


def link_blob(cloud: Cloud, repository: str, digest: str) -> None:
    """Let a repository see a blob that is in the store."""
    cloud.store.table("registry.blobs").put(f"{repository}@{digest}", {})


def holds_blob(cloud: Cloud, repository: str, digest: str) -> bool:
    """Whether the repository has been given that blob."""
    return f"{repository}@{digest}" in cloud.store.table("registry.blobs")


def holds_image(cloud: Cloud, repository: str, image_id: str) -> bool:
    """Whether some manifest in the repository names that image."""
    return f"{repository}@{image_id}" in cloud.store.table("registry.held")


def load_image(cloud: Cloud, image_id: str) -> Image:
    """The image of that id. Raises `KeyError` when no manifest ever named it."""
    kept = cloud.store.table("registry.images").get(image_id)
    content = cloud.store.blobs.get(hex_of(image_id))
    if kept is None or content is None:
        raise KeyError(image_id)
    config = json.loads(content).get("config") or {}
    pairs = [entry.partition("=") for entry in config.get("Env") or ()]
    return Image(
        id=image_id,
        layers=tuple(kept["layers"]),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        environ=tuple((name, value) for name, _, value in pairs),
        directory=config.get("WorkingDir") or "/",
        behaviour=(config.get("Labels") or {}).get(BEHAVIOUR_LABEL, ""),
    )


def make_image(
    cloud: Cloud,
    repository: str,
    tags: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    seed: str = "",
    cmd: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> tuple[str, str]:
    """Put a small schema 2 image into a repository without an upload: (image id, manifest digest).

    The same arguments give the same image; `seed` alone tells two images of the same kind apart.
    """
    layer, diff_id = _layer(files or {})
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": list(cmd), "Labels": {"seed": seed, **(labels or {})}, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    config_bytes = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    for content in (layer, config_bytes):
        cloud.store.blobs.put(content)
        link_blob(cloud, repository, digest_of(content))
    manifest = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": {"mediaType": CONFIG, "size": len(config_bytes), "digest": digest_of(config_bytes)},
        "layers": [{"mediaType": LAYER, "size": len(layer), "digest": digest_of(layer)}],
    }
    manifest_bytes = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    digest = digest_of(manifest_bytes)
    for reference in tags or (digest,):
        put_manifest(cloud, repository, manifest_bytes, SCHEMA2, reference)
    return digest_of(config_bytes), digest


def _layer(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A reproducible gzipped layer of some files, and its diff id."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(files[name]))
    return gzip.compress(raw.getvalue(), mtime=0), digest_of(raw.getvalue())
