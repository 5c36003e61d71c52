"""What a repository's files tell of how it is deployed. Reads names and addresses, runs nothing.

Every reader passes over a file that it does not understand: what cannot be told is asked or guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liftlock.commands.adopt.heroku_names import HerokuName, environments, in_text, of_remotes
from liftlock.commands.adopt.levels import split

_SKIPPED = {"node_modules", "target", "dist", "build", "vendor", "venv", "__pycache__"}
_DEPTH = 3
_LARGEST = 256 * 1024
_SCRIPT = re.compile(r"(promote|release|deploy|heroku)[\w.-]*", re.IGNORECASE)
_VARIABLE_TARGET = re.compile(r"\b([a-z][a-z0-9]*(?:-[a-z0-9]+)*)-\$\{?\w+\}?")
_SYSTEM = re.compile(r"\bdeploy:([A-Za-z][\w-]*)")
_WEBHOOK = re.compile(r"\b\w*SLACK\w*(?:WEBHOOK|URL|HOOK)\w*\b")


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """A folder with a firebase.json, and the sites that its .firebaserc names."""

    folder: str
    sites: tuple[str, ...]
    projects: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What its .firebaserc calls a project, where that says its environment."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is known of one repository. Paths begin at its root."""

    root: Path
    repository: str = ""
    dockerfiles: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    """Images that Compose services name, by service."""
    builds: Mapping[str, str] = field(default_factory=dict)
    """Dockerfiles by what builds them: a Compose service, or a process type of heroku.yml."""
    process_types: tuple[str, ...] = ()
    """Those of heroku.yml, else of the Procfile."""
    site_folders: tuple[SiteFolder, ...] = ()
    script: str = ""
    """The script that seems to promote today."""
    script_targets: tuple[str, ...] = ()
    """Names that it follows by a variable, as in `shop-$ENV`."""
    script_systems: tuple[str, ...] = ()
    """The SYSTEMs of the records that it writes."""
    webhook: str = ""
    """The variable with Slack's webhook."""
    heroku_names: tuple[HerokuName, ...] = ()
    """Heroku apps that git's remotes, workflows and scripts name, each once."""
    environments: tuple[str, ...] = ()
    """What jobs of workflows call their environments."""

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2] or self.root.name


def read_checkout(root: Path, repository: str = "") -> Checkout:
    """What the files below `root`, a checkout of `repository`, tell."""
    files = sorted(_files(root, _DEPTH), key=lambda path: (len(path.parts), path))
    images, builds = _compose(root, files)
    heroku, types = _heroku_yml(root)
    script, targets, systems, webhook = _script(root, files)
    told = {path: _text(path) for path in files if _is_script(path) or _is_workflow(path)}
    named = [one for path, text in told.items() for one in in_text(text, _relative(root, path))]
    named = [*of_remotes(_text(root / ".git" / "config")), *named]
    return Checkout(
        root=root,
        repository=repository,
        dockerfiles=tuple(_relative(root, path) for path in files if _is_dockerfile(path)),
        images=images,
        builds={**builds, **heroku},
        process_types=types or _procfile(root),
        site_folders=tuple(_sites(root, files)),
        script=script,
        script_targets=targets,
        script_systems=systems,
        webhook=webhook,
        heroku_names=tuple({one.name: one for one in reversed(named)}.values())[::-1],
        environments=tuple(
            dict.fromkeys(
                name for path, text in told.items() if _is_workflow(path) for name in environments(text)
            )
        ),
    )


def beside(root: Path) -> list[Path]:
    """The other checkouts in the folder above."""
    try:
        return sorted(path for path in root.parent.iterdir() if (path / ".git").exists() and path != root)
    except OSError:
        return []


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.is_symlink():
            continue
        if path.is_file():
            yield path
        elif depth and _is_looked_into(path):
            yield from _files(path, depth - 1)


def _is_looked_into(folder: Path) -> bool:
    hidden = folder.name.startswith(".") and folder.name != ".github"
    return not hidden and folder.name not in _SKIPPED and folder.is_dir()


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _LARGEST else ""
    except (OSError, ValueError):
        return ""


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path) or "null")
    except (ValueError, RecursionError):
        return None


def _is_dockerfile(path: Path) -> bool:
    return path.name == "Dockerfile" or path.name.startswith("Dockerfile.") or path.suffix == ".Dockerfile"


def block_values(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The plain values of a YAML file's nested mappings, each with the keys that lead to it.

    Enough for Compose files and heroku.yml as people write them; lists, anchors and the flow style are
    passed over, so that a file that uses them tells less and never something wrong.
    """
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.fullmatch(r"( *)([\w./-]+|\"[^\"]+\"|'[^']+'):(?:\s+(.*?))?\s*", line)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2].strip("\"'"), match[3] or ""
        value = re.sub(r"(^|\s)#.*$", "", value).strip()
        path = [part for part in path if part[0] < indent]
        if not value:
            path.append((indent, key))
        elif value[0] not in "[{&*|>!":
            yield (*(name for _, name in path), key), value.strip("\"'")


def _compose(root: Path, files: list[Path]) -> tuple[dict[str, str], dict[str, str]]:
    images: dict[str, str] = {}
    contexts: dict[str, str] = {}
    named: dict[str, str] = {}
    for path in files:
        if not re.fullmatch(r"(docker-)?compose(\.[\w-]+)?\.ya?ml", path.name):
            continue
        here = path.parent.relative_to(root)
        for keys, value in block_values(_text(path)):
            match keys:
                case ("services", service, "image") if "$" not in value:
                    images.setdefault(service, value)
                case ("services", service, "build") | ("services", service, "build", "context"):
                    contexts.setdefault(service, (here / value).as_posix())
                case ("services", service, "build", "dockerfile"):
                    named.setdefault(service, value)
    builds = {
        service: Path(contexts.get(service, "."), named.get(service, "Dockerfile")).as_posix()
        for service in {**contexts, **named}
    }
    return images, {service: file for service, file in builds.items() if (root / file).is_file()}


def _heroku_yml(root: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    builds: dict[str, str] = {}
    types: dict[str, None] = {}
    for keys, value in block_values(_text(root / "heroku.yml")):
        match keys:
            case ("build", "docker", process):
                types[process] = None
                if (root / value).is_file():
                    builds[process] = value
            case ("run", process):
                types[process] = None
            case ("run", process, *_):
                types[process] = None
            case ("release", *_):
                types["release"] = None
    return builds, tuple(types)


def _procfile(root: Path) -> tuple[str, ...]:
    return tuple(re.findall(r"^([a-z0-9_-]+):\s*\S", _text(root / "Procfile"), re.MULTILINE))


def _sites(root: Path, files: list[Path]) -> Iterator[SiteFolder]:
    for path in files:
        if path.name != "firebase.json":
            continue
        hosting = (_json(path) or {}).get("hosting") if isinstance(_json(path), dict) else None
        own = (
            [one.get("site") for one in hosting or () if isinstance(one, dict)]
            if isinstance(hosting, list)
            else []
        )
        if isinstance(hosting, dict):
            own = [hosting.get("site")]
        account = _json(path.with_name(".firebaserc"))
        account = account if isinstance(account, dict) else {}
        projects = account.get("projects")
        aliases = {
            project: alias
            for alias, project in (projects.items() if isinstance(projects, dict) else ())
            if isinstance(project, str)
        }
        levels = {project: alias for project, alias in aliases.items() if split(alias) is not None}
        targets = account.get("targets")
        sites = [
            site
            for project in (targets.values() if isinstance(targets, dict) else ())
            if isinstance(project, dict) and isinstance(project.get("hosting"), dict)
            for names in project["hosting"].values()
            if isinstance(names, list)
            for site in names
        ]
        found = [name for name in (*own, *sites) if isinstance(name, str) and name]
        if hosting is not None:
            yield SiteFolder(
                _relative(root, path.parent), tuple(dict.fromkeys(found)), tuple(aliases), levels
            )


def _is_script(path: Path) -> bool:
    return (
        path.suffix in {"", ".sh", ".bash", ".py", ".rb", ".js"} and _SCRIPT.fullmatch(path.stem) is not None
    )


def _is_workflow(path: Path) -> bool:
    return path.parent.name == "workflows" and path.suffix in {".yml", ".yaml"}


def _script(root: Path, files: list[Path]) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """The first script that names targets by a variable, those names, its systems, and the webhook's variable."""
    webhook = ""
    for path in files:
        if not (_is_script(path) or _is_workflow(path)):
            continue
        text = _text(path)
        if found := _WEBHOOK.search(text):
            webhook = webhook or found[0]
        targets = tuple(dict.fromkeys(_VARIABLE_TARGET.findall(text)))
        systems = tuple(dict.fromkeys(_SYSTEM.findall(text)))
        if _is_script(path) and (targets or systems):
            return _relative(root, path), targets, systems, webhook
    return "", (), (), webhook
