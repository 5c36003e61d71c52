"""A folder of files becomes a finalized version of a site: hashes first, only missing files uploaded."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
from anyio import to_thread

from liftlock.errors import ArtifactMissing, UsageError
from liftlock.model import SiteVersion, Target
from liftlock.platforms.firebase.api import Hosting, content_digest
from liftlock.platforms.firebase.globs import matcher
from liftlock.platforms.firebase.site_config import SiteConfig, read_site_config
from liftlock.ports import Progress
from liftlock.tasks import together

BATCH = 1000
"""Files in one request, as firebase-tools sends them."""
_AT_ONCE = 32
_CANDIDATES = 3
COMMIT_LABEL = "liftlock-commit"


async def publish(
    hosting: Hosting, target: Target, commit: str, checkout: Path, progress: Progress
) -> SiteVersion:
    """The version of the target's site with the checkout's files; one that is there already is taken."""
    folder = checkout / str(target.options.get("folder", "."))
    site = await to_thread.run_sync(read_site_config, folder, target.name)
    (files, hashes), versions = await together(partial(_hashes, site), partial(hosting.versions, target.name))
    if not files:
        raise UsageError(
            f"The folder {site.public.name} of {target.app} holds no file to publish.",
            hint="Build the site first, and look at `ignore` in firebase.json.",
        )
    labelled = [v for v in versions if v.labels.get(COMMIT_LABEL) == commit][:_CANDIDATES]
    digest = content_digest(list(hashes.items()), site.config)
    contents = await together(*(partial(hosting.content, version.name) for version in labelled))
    for _, content in contents:
        if content.content == digest:
            return content
    version = await hosting.create(target.name, {COMMIT_LABEL: commit})
    await _upload(hosting, version, files, hashes, progress)
    await hosting.finalize(version, site.config)
    _, published = await hosting.content(version)
    return published


async def _hashes(site: SiteConfig) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """By path on the site, each file and the SHA-256 of its gzipped bytes."""
    files = await to_thread.run_sync(_files, site)
    limit = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def hash_of(path: Path) -> str:
        return await to_thread.run_sync(_hash, path, limiter=limit)

    hashes = await together(*(partial(hash_of, path) for path in files.values()))
    return files, dict(zip(files, hashes, strict=True))


def _files(site: SiteConfig) -> dict[str, Path]:
    """The files to publish, in order. Links are followed, as firebase-tools does, but not in circles."""
    is_ignored = matcher(site.ignore)
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for folder, folders, names in os.walk(site.public, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(folder) / name
            relative = path.relative_to(site.public).as_posix()
            if path.is_file() and not is_ignored(relative):
                found[f"/{relative}"] = path
    return dict(sorted(found.items()))


def _gzipped(path: Path) -> bytes:
    """The same bytes for the same file, always: the hash is over them."""
    return gzip.compress(path.read_bytes(), compresslevel=9, mtime=0)


def _hash(path: Path) -> str:
    return hashlib.sha256(_gzipped(path)).hexdigest()


async def _upload(
    hosting: Hosting,
    version: str,
    files: Mapping[str, Path],
    hashes: Mapping[str, str],
    progress: Progress,
) -> None:
    by_hash = {content_hash: files[path] for path, content_hash in hashes.items()}
    left = iter(sorted(hashes.items()))
    while batch := dict(islice(left, BATCH)):
        missing, url = await hosting.populate(version, batch)
        progress(f"uploading {len(missing)} of {len(batch)} files")
        unknown = [content_hash for content_hash in missing if content_hash not in by_hash]
        if unknown or (missing and not url):
            raise ArtifactMissing(
                f"Firebase asks {version} for a file that was not offered ({', '.join(unknown) or 'no address'}).",
                hint="Nothing was released. Try again.",
            )
        await _upload_all(hosting, url, missing, by_hash)


async def _upload_all(
    hosting: Hosting, url: str, missing: Sequence[str], by_hash: Mapping[str, Path]
) -> None:
    """Compressed again for the upload: a big site's files are never in memory all at once."""
    slots = anyio.Semaphore(_AT_ONCE)

    async def upload(content_hash: str) -> None:
        async with slots:
            content = await to_thread.run_sync(_gzipped, by_hash[content_hash])
            await hosting.upload(url, content_hash, content)

    await together(*(partial(upload, content_hash) for content_hash in missing))
