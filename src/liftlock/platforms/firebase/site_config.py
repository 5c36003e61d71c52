"""The team's own `firebase.json` and `.firebaserc`: which files a site has, and how it serves them.

Source: firebase-tools, `src/hosting/config.ts` (which block is a site's) and
`src/deploy/hosting/convertConfig.ts` (how it becomes the API's configuration).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftlock.errors import ConfigurationError, Problem
from liftlock.platforms.firebase.globs import ALWAYS_IGNORED, is_excessive

FILE = "firebase.json"


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """One site's block: the folder of its files, what of it is left out, and the API's configuration."""

    public: Path
    ignore: Sequence[str]
    config: Mapping[str, Any]


def read_site_config(folder: Path, site: str) -> SiteConfig:
    """The block of `folder`'s firebase.json that is for `site`. Raises `ConfigurationError`."""
    path = folder / FILE
    document = _read(path)
    block = _block(path, document.get("hosting"), site, _targets(folder))
    public = block.get("public")
    if not isinstance(public, str) or not public:
        raise _wrong(path, "hosting.public", "must name the folder of the site's files")
    public_folder = folder / public
    if not public_folder.is_dir():
        raise _wrong(
            path,
            "hosting.public",
            f"names the folder {public!r}, which does not exist",
            "Build the site first.",
        )
    if not public_folder.resolve().is_relative_to(folder.resolve()):
        raise _wrong(path, "hosting.public", f"names the folder {public!r}, which is outside the checkout")
    ignore = block.get("ignore", [])
    if not isinstance(ignore, list) or not all(isinstance(each, str) for each in ignore):
        raise _wrong(path, "hosting.ignore", "must be a list of patterns")
    if any(is_excessive(each) for each in ignore):
        raise _wrong(path, "hosting.ignore", "has a pattern that is longer than any that is meant")
    return SiteConfig(public_folder, (*ALWAYS_IGNORED, *ignore), _api_config(path, block))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(path, "", "does not exist", "`folder` says where the app's part is.") from None
    except OSError as error:
        raise _wrong(path, "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, "", "is not UTF-8 text") from error
    except RecursionError as error:
        raise _wrong(path, "", "is nested too deeply") from error
    except ValueError as error:
        raise _wrong(path, "", f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _wrong(path, "", "must hold an object")
    return document


def _targets(folder: Path) -> Mapping[str, set[str]]:
    """By deploy target, its sites in every Firebase project of `.firebaserc`."""
    path = folder / ".firebaserc"
    if not path.exists():
        return {}
    found: dict[str, set[str]] = {}
    projects = _read(path).get("targets") or {}
    for project in projects.values() if isinstance(projects, dict) else ():
        hosting = project.get("hosting") if isinstance(project, dict) else None
        for target, sites in hosting.items() if isinstance(hosting, dict) else ():
            found.setdefault(target, set()).update(map(str, sites if isinstance(sites, list) else [sites]))
    return found


def _block(path: Path, hosting: Any, site: str, targets: Mapping[str, set[str]]) -> dict[str, Any]:
    blocks = hosting if isinstance(hosting, list) else [hosting]
    if not blocks or not all(isinstance(block, dict) for block in blocks):
        raise _wrong(path, "hosting", "must be an object, or a list of objects")
    for block in blocks:
        if block.get("site") == site:
            return dict(block)
    for block in blocks:
        if site in targets.get(str(block.get("target")), set()):
            return dict(block)
    if len(blocks) == 1 and "site" not in blocks[0] and "target" not in blocks[0]:
        return dict(blocks[0])
    names = ", ".join(repr(block.get("site") or block.get("target")) for block in blocks)
    raise _wrong(
        path,
        "hosting",
        f"has no block for the site {site!r} (it has {names})",
        "Name the site in a block, or link its target to the site in .firebaserc: "
        f"firebase target:apply hosting TARGET {site}",
    )


def _api_config(path: Path, block: Mapping[str, Any]) -> dict[str, Any]:
    converters = {"rewrites": _rewrite, "redirects": _redirect, "headers": _header}
    config: dict[str, Any] = {
        key: [convert(path, entry) for entry in entries]
        for key, convert in converters.items()
        if (entries := _entries(path, block, key))
    }
    config |= {key: block[key] for key in ("cleanUrls", "appAssociation", "i18n") if key in block}
    for key in ("trailingSlash", "cleanUrls"):
        if not isinstance(block.get(key, False), bool):
            raise _wrong(path, f"hosting.{key}", "must be true or false")
    if "trailingSlash" in block:
        config["trailingSlashBehavior"] = "ADD" if block["trailingSlash"] else "REMOVE"
    return config


def _entries(path: Path, block: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = block.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _wrong(path, f"hosting.{key}", "must be a list of objects")
    return entries


def _pattern(path: Path, key: str, entry: Mapping[str, Any]) -> dict[str, str]:
    glob = entry.get("glob") or entry.get("source")
    regex = entry.get("regex")
    pattern = glob or regex
    if (glob and regex) or not pattern or not isinstance(pattern, str):
        raise _wrong(path, f"hosting.{key}", f"needs either a source (glob) or a regex: {_shown(entry)}")
    return {"glob" if glob else "regex": pattern}


def _rewrite(path: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    rewrite: dict[str, Any] = dict(_pattern(path, "rewrites", entry))
    if isinstance(entry.get("destination"), str):
        return rewrite | {"path": entry["destination"]}
    if "run" in entry and isinstance(entry["run"], dict):
        return rewrite | {"run": {"region": "us-central1"} | entry["run"]}
    if entry.get("dynamicLinks"):
        return rewrite | {"dynamicLinks": True}
    function = entry.get("function")
    if isinstance(function, str):
        region = {"functionRegion": entry["region"]} if "region" in entry else {}
        return rewrite | {"function": function} | region
    if isinstance(function, dict) and isinstance(function.get("functionId"), str):
        if "pinTag" in function:
            raise _wrong(path, "hosting.rewrites", "pins a function's tag, which liftlock cannot deploy")
        region = {"functionRegion": function["region"]} if "region" in function else {}
        return rewrite | {"function": function["functionId"]} | region
    raise _wrong(path, "hosting.rewrites", f"says not where to: {_shown(entry)}")


def _redirect(path: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(entry.get("destination"), str):
        raise _wrong(path, "hosting.redirects", f"needs a destination: {_shown(entry)}")
    redirect: dict[str, Any] = _pattern(path, "redirects", entry) | {"location": entry["destination"]}
    if "type" in entry:
        redirect["statusCode"] = entry["type"]
    return redirect


def _header(path: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    headers = entry.get("headers") or []
    if not isinstance(headers, list) or not all(
        isinstance(e, dict) and isinstance(e.get("key"), str) and isinstance(e.get("value"), str)
        for e in headers
    ):
        raise _wrong(path, "hosting.headers", f"needs a list of keys and values: {_shown(entry)}")
    return _pattern(path, "headers", entry) | {"headers": {e["key"]: e["value"] for e in headers}}


def _shown(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry)
    return text if len(text) <= 200 else text[:199] + "…"


def _wrong(path: Path, key: str, message: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(path.name, [Problem(key, message, hint=hint)])
