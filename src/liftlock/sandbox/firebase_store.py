"""What the sandbox's Firebase Hosting remembers: sites, versions, channels, releases, operations.

Kept in the shape of Google's answers; a file is the gzipped bytes that were uploaded, by their hash.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from liftlock.sandbox.answers import Refusal
from liftlock.sandbox.clock import from_iso, micros_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_shapes import number_of
from liftlock.sandbox.store import Document

CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "INTERNAL": 500,
}


def refuse(status: str, message: str) -> Refusal:
    """Google's error body."""
    code = CODES[status]
    return Refusal(code, {"error": {"code": code, "message": message, "status": status}})


def not_found() -> Refusal:
    """Google's words for whatever is not there."""
    return refuse("NOT_FOUND", "Requested entity was not found.")


class Hosting:
    """The tables of Firebase Hosting, and what may happen to them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.blobs = cloud.store.blobs
        self.sites = cloud.store.table("firebase.sites")
        self.versions = cloud.store.table("firebase.versions")
        self.files = cloud.store.table("firebase.files")
        self.channels = cloud.store.table("firebase.channels")
        self.operations = cloud.store.table("firebase.operations")

    def now(self) -> str:
        return micros_iso(self.cloud.clock.now())

    # Sites and channels.

    def create_site(self, site: str, project: str) -> None:
        """A site with its live channel; one that exists stays as it is."""
        if site not in self.sites:
            self.sites.put(site, {"site": site, "project": project})
            self.create_channel(site, "live")

    def site(self, site: str) -> Document:
        found = self.sites.get(site)
        if found is None:
            raise not_found()
        return found

    def create_channel(self, site: str, channel: str, ttl_s: float | None = None) -> Document:
        name = f"sites/{site}/channels/{channel}"
        if name in self.channels:
            raise refuse("ALREADY_EXISTS", f"channel {channel} already exists")
        now = self.now()
        row: Document = {"name": name, "site": site, "channel": channel, "createTime": now, "updateTime": now}
        if ttl_s is not None:
            row["expireTime"] = micros_iso(self.cloud.clock.now() + timedelta(seconds=ttl_s))
        return self.channels.put(name, {**row, "releases": []})

    def channel(self, site: str, channel: str) -> Document:
        self.site(site)
        found = self.channels.get(f"sites/{site}/channels/{channel}")
        if found is None:
            raise not_found()
        return found

    def live(self, site: str) -> Document | None:
        """The version that the site serves; None before the first release and after a disabling one."""
        channel = self.channels.get(f"sites/{site}/channels/live")
        if not channel or not channel["releases"]:
            return None
        name = channel["releases"][-1].get("version")
        return self.versions.get(name) if name else None

    # Versions.

    def create_version(self, site: str, user: str, status: str, **more: Any) -> Document:
        self.site(site)
        name = f"sites/{site}/versions/{self.cloud.store.next('firebase.version'):016x}"
        row = {
            "name": name,
            "status": status,
            "createTime": self.now(),
            "createUser": {"email": user},
            **more,
        }
        self.files.put(name, {})
        return self.versions.put(name, row)

    def version(self, name: str) -> Document:
        """A version by its name, its clone finished if its time has come."""
        found = self.versions.get(name)
        if found is None:
            raise not_found()
        if found["status"] == "CLONING":
            self._finish_clone(found)
            return self.versions.get(name) or found
        return found

    def finalize(self, row: Document, user: str) -> Document:
        """Close a version; every file must have been uploaded."""
        files = self.files.get(row["name"]) or {}
        missing = sorted({digest for digest in files.values() if digest not in self.blobs})
        if missing:
            raise refuse("FAILED_PRECONDITION", f"{len(missing)} files have not been uploaded: {missing[0]}")
        size = sum(self.blobs.size(digest) for digest in files.values())
        done = {"status": "FINALIZED", "finalizeTime": self.now(), "finalizeUser": {"email": user}}
        return self.versions.put(
            row["name"], {**row, **done, "fileCount": str(len(files)), "versionBytes": str(size)}
        )

    # Clones.

    def clone(self, site: str, asked: Document, user: str) -> Document:
        """Begin to copy a version to `site`; gives the operation."""
        source = self.version(version_name(asked.get("sourceVersion")))
        if source["status"] != "FINALIZED":
            raise refuse("FAILED_PRECONDITION", f"{source['name']} is {source['status']}, not FINALIZED")
        ready = micros_iso(self.cloud.clock.now() + timedelta(seconds=self.cloud.settings.clone_s))
        copied = {key: source[key] for key in ("config", "labels") if key in source}
        row = self.create_version(site, user, "CLONING", **copied)
        self.files.put(row["name"], _filtered(self.files.get(source["name"]) or {}, asked))
        number = number_of(self.site(site)["project"])
        name = f"projects/{number}/operations/{self.cloud.store.next('firebase.operation'):016x}"
        operation = {"name": name, "version": row["name"], "finalize": bool(asked.get("finalize"))}
        operation |= {"ready": ready, "user": user}
        self.versions.put(row["name"], {**row, "operation": name})
        return self.operations.put(name, operation)

    def _finish_clone(self, row: Document) -> None:
        operation = self.operations.get(row["operation"]) or {}
        if self.cloud.clock.now() < from_iso(operation["ready"]):
            return
        if operation["finalize"]:
            self.finalize(row, operation["user"])
        else:
            self.versions.put(row["name"], {**row, "status": "CREATED"})

    # Releases.

    def release(self, site: str, channel: str, version: str | None, asked: Document, user: str) -> Document:
        """Switch a channel to a version, or switch the site off."""
        row = self.channel(site, channel)
        kind = asked.get("type")
        if len(asked.get("message", "")) > 512:
            raise refuse("INVALID_ARGUMENT", "message is longer than 512 characters")
        if kind == "SITE_DISABLE":
            if version:
                raise refuse("INVALID_ARGUMENT", "a SITE_DISABLE release takes no version")
        else:
            kind = self._kind_of_release(site, row, version_name(version))
        release: Document = {
            "name": f"{row['name']}/releases/{self.cloud.store.next('firebase.release'):016x}",
            "type": kind,
            "releaseTime": self.now(),
            "releaseUser": {"email": user},
        }
        if version:
            release["version"] = version_name(version)
        if asked.get("message"):
            release["message"] = asked["message"]
        releases = [*row["releases"], release]
        self.channels.put(row["name"], {**row, "updateTime": self.now(), "releases": releases})
        return release

    def _kind_of_release(self, site: str, channel: Document, name: str) -> str:
        version = self.version(name)
        if not name.startswith(f"sites/{site}/"):
            raise refuse("INVALID_ARGUMENT", f"{name} does not belong to site {site}")
        if version["status"] != "FINALIZED":
            raise refuse("FAILED_PRECONDITION", f"{name} is {version['status']}, not FINALIZED")
        before = [release.get("version") for release in channel["releases"]]
        return "ROLLBACK" if name in before[:-1] else "DEPLOY"


def version_name(given: Any) -> str:
    """`sites/S/versions/V`, from that or from the form that begins with a project."""
    found = (
        re.fullmatch(r"(?:projects/[^/]+/)?(sites/[^/]+/versions/[^/]+)", given)
        if isinstance(given, str)
        else None
    )
    if not found:
        raise refuse("INVALID_ARGUMENT", f"Invalid version name: {given!r}")
    return found[1]


def _filtered(files: Document, asked: Document) -> Document:
    try:
        include = [re.compile(regex) for regex in (asked.get("include") or {}).get("regexes", [])]
        exclude = [re.compile(regex) for regex in (asked.get("exclude") or {}).get("regexes", [])]
    except (re.error, AttributeError, TypeError) as error:
        raise refuse("INVALID_ARGUMENT", f"Invalid path filter: {error}") from error
    return {
        path: digest
        for path, digest in files.items()
        if (not include or any(one.search(path) for one in include))
        and not any(one.search(path) for one in exclude)
    }
