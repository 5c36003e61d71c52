"""The observatory's history: its first commits, and the changes that a demo or a test adds.

Each change edits files of a workspace and commits them; none needs another but where it says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from liftlock.demo.repositories import Repository
from liftlock.demo.workspace import Workspace, observatory_folder


def create_workspace(folder: Path) -> Workspace:
    """Version 1: three git repositories below `folder`, each with one commit."""
    workspace = Workspace.at(folder)
    for repository in workspace.repositories:
        shutil.copytree(
            observatory_folder() / repository.folder.name,
            repository.folder,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )
        repository.begin()
    # A wheel's installer may have dropped the permission.
    (workspace.explore.folder / "migrate").chmod(0o755)
    workspace.services.commit("Run SSO, ITC, ODB and RESOURCE as containers")
    workspace.explore.commit("Show programs and exposure times in Explore")
    workspace.admin.commit("Add ResourceUI and AdminUI")
    return workspace


def add_priority(workspace: Workspace) -> None:
    """Version 2: ODB gains a migration and a new web, Explore shows it, the preferences follow.

    SSO, ITC, RESOURCE and ODB's workers keep their images: not a byte of theirs changes.
    """
    services, explore = workspace.services, workspace.explore
    _write(
        services,
        "odb/migrations/0003_priority.sql",
        "-- Code that does not know of it goes on working: it has a default.\n"
        "ALTER TABLE programs ADD COLUMN priority smallint NOT NULL DEFAULT 2\n"
        "    CHECK (priority IN (1, 2, 3));\n",
    )
    _edit(services, "odb/app.py", 'VERSION = "4.3.0"', 'VERSION = "4.4.0"')
    _edit(services, "odb/app.py", '"SELECT p.id, p.title,', '"SELECT p.id, p.title, p.priority,')
    services.commit(
        "Add observing-block priority to ODB",
        "Queue planning needs to know which programs go first when the weather is good.",
    )
    _edit(explore, "public/index.html", "Explore 1.18.0", "Explore 1.19.0")
    _edit(
        explore,
        "public/explore.js",
        'element("small", {}, program.id)',
        'element("small", {}, `${program.id}, priority ${program.priority}`)',
    )
    explore.commit("Show a program's priority in Explore")
    _write(
        explore,
        "migrations/0003_sorting.sql",
        "-- By what a user sorts programs; the priority is new among the choices.\n"
        "ALTER TABLE layouts ADD COLUMN sorted_by TEXT NOT NULL DEFAULT 'id';\n",
    )
    explore.commit("Remember by what a user sorts programs")


def need_detector_set(workspace: Workspace, setting: str = "ITC_DETECTOR_SET") -> None:
    """ITC's web crashes at start wherever `setting` is not set: everywhere but in dev, as it is.

    With a setting that nobody makes it crashes in dev, too.
    """
    services = workspace.services
    _edit(
        services,
        "itc/app.py",
        'VERSION = "1.12.3"',
        f'VERSION = "1.13.0"\nDETECTOR_SET = os.environ["{setting}"]',
    )
    _edit(services, "itc/app.py", "import math\n", "import math\nimport os\n")
    _edit(
        services,
        "itc/app.py",
        '        "version": VERSION,',
        '        "version": VERSION,\n        "detector_set": DETECTOR_SET,',
    )
    services.commit("Choose ITC's detector set by a setting")


def mend_detector_set(workspace: Workspace, setting: str = "ITC_DETECTOR_SET") -> None:
    """What `need_detector_set` broke works again."""
    services = workspace.services
    _edit(services, "itc/app.py", f'os.environ["{setting}"]', f'os.environ.get("{setting}", "2026B")')
    _edit(services, "itc/app.py", 'VERSION = "1.13.0"', 'VERSION = "1.13.1"')
    services.commit("Fall back to this semester's detectors in ITC")


def need_weather_station(workspace: Workspace, setting: str = "WEATHER_STATION") -> None:
    """RESOURCE starts, and its /health answers 503 wherever `setting` is not set."""
    services = workspace.services
    _edit(services, "resource/app.py", 'VERSION = "1.1.0"', 'VERSION = "1.2.0"')
    _edit(services, "resource/app.py", "from typing import Any\n", "import os\nfrom typing import Any\n")
    _edit(
        services,
        "resource/app.py",
        "def health() -> dict[str, Any]:\n",
        "def health() -> dict[str, Any]:\n"
        f'    if not os.environ.get("{setting}"):\n'
        f'        raise Refusal(503, "no weather station: {setting} is not set")\n',
    )
    services.commit("Watch the weather station in RESOURCE")


def require_distinct_titles(workspace: Workspace) -> None:
    """ODB's release phase fails where a program has two observations of one title.

    `repeat_an_observation` makes such a one.
    """
    services = workspace.services
    _write(
        services,
        "odb/migrations/0004_distinct_titles.sql",
        "CREATE UNIQUE INDEX observations_by_title ON observations (program_id, title);\n",
    )
    _edit_version(services, "odb/app.py", "4.5.0")
    services.commit("Require distinct titles of a program's observations")


def change_one_app(workspace: Workspace, app: str, version: str) -> None:
    """A new version of SSO, ITC, ODB (its web) or RESOURCE that does nothing new."""
    _edit_version(workspace.services, f"{app.lower()}/app.py", version)
    workspace.services.commit(f"Release {app} {version}")


def _edit_version(repository: Repository, path: str, version: str) -> None:
    text = (repository.folder / path).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("VERSION = "))
    _edit(repository, path, line, f'VERSION = "{version}"')


def _edit(repository: Repository, path: str, old: str, new: str) -> None:
    """Replace `old`, which must stand there once: an edit that does nothing would hide for long."""
    file = repository.folder / path
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{path} has {text.count(old)} times {old!r}, not once")
    file.write_text(text.replace(old, new), encoding="utf-8")


def _write(repository: Repository, path: str, text: str) -> None:
    (repository.folder / path).write_text(text, encoding="utf-8")
