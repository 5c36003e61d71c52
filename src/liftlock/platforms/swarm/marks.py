"""What liftlock writes on a service: its image by digest, and labels that say whose it is.

Nothing else of a team's definition is touched, with one exception: a service without any update
settings is updated start-first (see `marked`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from liftlock.model import Digest, ImageId, Release
from liftlock.platforms.swarm.api import digest_of, image_of
from liftlock.ports import RegistryImage

APP = "io.liftlock.app"
COMMIT = "io.liftlock.commit"
RELEASE = "io.liftlock.release"
"""The SHA-256 over all of the release's artifacts: equal on all services of one release."""
PROMOTION = "io.liftlock.promotion"
IMAGE_ID = "io.liftlock.image-id"
DIGEST = "io.liftlock.digest"
"""Together with `IMAGE_ID`: which config the manifest has that the service was given. Both are
content addresses, so that the pair stays true for as long as the service runs that manifest."""
JOB = "io.liftlock.job"
"""On a job: the name of the service that it was made from."""
COMPOSE_IMAGE = "com.docker.stack.image"
"""The image as the Compose file names it. `docker stack deploy --resolve-image changed` leaves a service's
image alone as long as it is the same."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One release on behalf of one promotion."""

    release: Release
    promotion: str

    def labels(self, image: RegistryImage) -> dict[str, str]:
        """The labels of a service that runs `image` of this release."""
        found = {
            APP: self.release.app,
            COMMIT: self.release.commit,
            RELEASE: self.identity,
            PROMOTION: self.promotion,
            IMAGE_ID: image.image_id.value,
            DIGEST: image.digest.value,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def identity(self) -> str:
        artifacts = {part: str(artifact) for part, artifact in self.release.artifacts.items()}
        text = json.dumps(artifacts, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def reference(image: RegistryImage, commit: str = "") -> str:
    """How a service names the image: by digest. The commit's tag is for people's eyes: no engine looks at it."""
    tag = f":{commit}" if commit else ""
    return f"{image.repository}{tag}@{image.digest}"


def marked(spec: Mapping[str, Any], image: RegistryImage, mark: Mark) -> dict[str, Any]:
    """A service's specification with another image, and with our labels instead of earlier ones.

    A team that says nothing of updates gets them start-first, so that somebody answers all the time.
    Not where a port of the host is taken: two tasks cannot have it at once.
    """
    new = deepcopy(dict(spec))
    new["TaskTemplate"]["ContainerSpec"]["Image"] = reference(image, mark.release.commit)
    kept = {k: v for k, v in (new.get("Labels") or {}).items() if not k.startswith("io.liftlock.")}
    new["Labels"] = kept | mark.labels(image)
    if not new.get("UpdateConfig") and "Replicated" in (new.get("Mode") or {}) and not _takes_host_ports(new):
        new["UpdateConfig"] = {"Parallelism": 1, "FailureAction": "pause", "Order": "start-first"}
    return new


def told_id(spec: Mapping[str, Any] | None) -> tuple[Digest, ImageId] | None:
    """The manifest and the config of the image of a specification, if our labels still speak of it."""
    if spec is None:
        return None
    labels, digest = spec.get("Labels") or {}, digest_of(image_of(spec))
    if digest is None or labels.get(DIGEST) != digest.value:
        return None
    try:
        return digest, ImageId(labels[IMAGE_ID])
    except (KeyError, ValueError):
        return None


def _takes_host_ports(spec: Mapping[str, Any]) -> bool:
    ports = (spec.get("EndpointSpec") or {}).get("Ports") or []
    return any(port.get("PublishMode") == "host" for port in ports)
