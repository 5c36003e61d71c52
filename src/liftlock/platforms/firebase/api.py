"""The part of Firebase Hosting's API (v1beta1) that promotions and deploys need, as typed values.

Sources: Google's discovery document `firebasehosting.v1beta1` and the requests of firebase-tools.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from liftlock.errors import NotFound, VendorRefusal
from liftlock.http import Answer, Http, Trail, field, optional
from liftlock.model import SiteVersion
from liftlock.plugins import Context
from liftlock.polling import wait_for
from liftlock.tasks import together

VERSION = "/v1beta1"
FILES_PER_PAGE = 1000
CLONE_LIMIT_S = 600.0
FINALIZED = "FINALIZED"


@dataclass(frozen=True, slots=True)
class Version:
    """A version's own record. `size` is its file count and bytes, as Firebase writes them."""

    name: str
    status: str
    config: Mapping[str, Any]
    size: tuple[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Live:
    """What a site serves. `version` is "" when it serves nothing: never released, or disabled."""

    version: str
    message: str


class Hosting:
    """Requests about sites and their versions."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def _http(self) -> Http:
        return self._context.http("firebase")

    async def live(self, site: str) -> Live:
        """What the site serves now. Safe to repeat."""
        answer = await self._http.request("GET", f"{VERSION}/sites/{site}/channels/live")
        channel = answer.object()
        name = optional(channel, "release.version.name", str) or ""
        disabled = optional(channel, "release.type", str) == "SITE_DISABLE"
        return Live("" if disabled else plain_name(name), optional(channel, "release.message", str) or "")

    async def version(self, name: str) -> Version:
        """A version's record. Safe to repeat. Raises `NotFound`."""
        return _version((await self._http.request("GET", _address(name))).object())

    async def versions(self, site: str) -> Sequence[Version]:
        """The newest finalized versions of a site. Safe to repeat."""
        answer = await self._http.request(
            "GET",
            f"{VERSION}/sites/{site}/versions",
            params={"filter": f'status="{FINALIZED}"', "pageSize": 25},
        )
        found = [_version(entry) for entry in objects(answer, "versions")]
        return [version for version in found if version.status == FINALIZED]

    async def content(self, name: str) -> tuple[Version, SiteVersion]:
        """A version with its content's digest: over every file's path and hash, and its configuration.

        One round trip for each 1,000 files. Safe to repeat.
        """
        version, files = await together(partial(self.version, name), partial(self._files, name))
        return version, SiteVersion(name, content_digest(files, version.config))

    async def _files(self, name: str) -> Sequence[tuple[str, str]]:
        files: list[tuple[str, str]] = []
        page, trail = "", Trail("firebase")
        while True:
            params: dict[str, Any] = {"pageSize": FILES_PER_PAGE, "pageToken": page or None}
            answer = await self._http.request("GET", f"{_address(name)}/files", params=params)
            files += [(field(e, "path", str), field(e, "hash", str)) for e in objects(answer, "files")]
            page = optional(answer.object(), "nextPageToken", str) or ""
            if not page:
                return files
            trail.to(page)

    async def clone(self, source_version: str, site: str) -> str:
        """Copy a version into a site, not live; the copy's name. A repetition makes another copy."""
        answer = await self._http.request(
            "POST",
            f"{VERSION}/sites/{site}/versions:clone",
            json={"sourceVersion": source_version, "finalize": True},
            repeat=True,
        )
        operation = answer.object()
        path = f"{VERSION}/{field(operation, 'name', str)}"

        async def done() -> str | None:
            return _finished(await self._http.request("GET", path))

        def endless() -> Exception:
            return VendorRefusal(
                f"Firebase did not finish cloning {source_version} into {site} "
                f"within {CLONE_LIMIT_S / 60:.0f} min.",
                vendor="firebase",
                hint="Nothing was released. Try again.",
            )

        name = _finished(answer)
        if name is None:
            name = await wait_for(done, limit_s=CLONE_LIMIT_S, timed_out=endless)
        return name

    async def release(self, site: str, version: str, message: str) -> None:
        """Make a version live. Not repeated here: see `platform`."""
        await self._http.request(
            "POST",
            f"{VERSION}/sites/{site}/channels/live/releases",
            params={"versionName": version},
            json={"message": message[:512]},
        )

    async def disable(self, site: str, message: str) -> None:
        """Stop serving the site. Twice is as good as once."""
        await self._http.request(
            "POST",
            f"{VERSION}/sites/{site}/channels/live/releases",
            json={"type": "SITE_DISABLE", "message": message[:512]},
            repeat=True,
        )

    async def create(self, site: str, labels: Mapping[str, str]) -> str:
        """Begin a version; its name. One that is never finalized is abandoned by Firebase after 12 h."""
        answer = await self._http.request(
            "POST",
            f"{VERSION}/sites/{site}/versions",
            json={"status": "CREATED", "labels": dict(labels)},
            repeat=True,
        )
        return plain_name(field(answer.object(), "name", str))

    async def populate(self, version: str, files: Mapping[str, str]) -> tuple[Sequence[str], str]:
        """Say which files a version has, by path and hash; (the hashes to upload, where to)."""
        answer = await self._http.request(
            "POST", f"{VERSION}/{version}:populateFiles", json={"files": dict(files)}, repeat=True
        )
        body = answer.object()
        hashes = [str(each) for each in optional(body, "uploadRequiredHashes", list) or ()]
        return hashes, optional(body, "uploadUrl", str) or ""

    async def upload(self, url: str, content_hash: str, content: bytes) -> None:
        """Upload one gzipped file. Safe to repeat: it is named by its hash."""
        await self._http.request(
            "POST",
            f"{url}/{content_hash}",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
            repeat=True,
            timeout_s=300.0,
        )

    async def finalize(self, version: str, config: Mapping[str, Any]) -> None:
        """Close a version: from now on it never changes. Safe to repeat."""
        await self._http.request(
            "PATCH",
            f"{VERSION}/{version}",
            params={"updateMask": "status,config"},
            json={"status": FINALIZED, "config": dict(config)},
            repeat=True,
        )


_NAME = re.compile(r"(projects/[\w-]+/)?sites/[\w-]+/versions/[\w-]+")


def _address(version: str) -> str:
    """The path of a version. Raises `NotFound` for a name that could lead anywhere else: it stood in a
    record, and whoever may write records would else choose what is asked with our credential."""
    if not _NAME.fullmatch(version):
        raise NotFound(f"{version!r} is no name of a site's version.", vendor="firebase")
    return f"{VERSION}/{version}"


def plain_name(version: str) -> str:
    """`sites/S/versions/V`, whichever of its two names an answer used (`projects/P/sites/…`)."""
    return version[max(version.find("sites/"), 0) :]


def content_digest(files: Sequence[tuple[str, str]], config: Mapping[str, Any]) -> str:
    """SHA-256 over canonical JSON of a version's files and configuration."""
    document = {"config": _without_defaults(config), "files": sorted(files)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def objects(answer: Answer, name: str) -> list[dict[str, Any]]:
    """The list of objects under `name`; Google leaves empty lists out."""
    entries = optional(answer.object(), name, list) or []
    if not all(isinstance(entry, dict) for entry in entries):
        raise answer.bad(f"lists something in {name!r} that is not an object")
    return entries


def _without_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Google leaves default values out of some answers and not of others."""
    empty: tuple[Any, ...] = (None, False, "", [], {}, "TRAILING_SLASH_BEHAVIOR_UNSPECIFIED", "AUTO")
    return {key: value for key, value in config.items() if value not in empty}


def _version(entry: Mapping[str, Any]) -> Version:
    return Version(
        name=plain_name(field(entry, "name", str)),
        status=optional(entry, "status", str) or "",
        config=optional(entry, "config", dict) or {},
        size=(str(entry.get("fileCount", "")), str(entry.get("versionBytes", ""))),
        labels=optional(entry, "labels", dict) or {},
    )


def _finished(answer: Answer) -> str | None:
    """The name of the version that an operation made; None while it runs."""
    operation = answer.object()
    if not optional(operation, "done", bool):
        return None
    error = optional(operation, "error", dict)
    if error is not None:
        raise VendorRefusal(
            f"Firebase could not clone the version: {error.get('message') or error}.",
            vendor="firebase",
            method=answer.method,
            address=answer.address,
            code=str(error.get("code", "")),
            hint="Nothing was released. Check that the credential may write to both sites, and try again.",
        )
    return plain_name(field(operation, "response.name", str))
