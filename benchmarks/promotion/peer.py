"""The same promotion by a straight-line script, in a world of its own: `script.sh`, with curl and jq."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.promotion.worlds import World
from liftlock.config import load
from liftlock.model import App

SCRIPT = Path(__file__).with_name("script.sh")
WANTED = ("curl", "jq", "bash")


def missing() -> list[str]:
    """The programs that the script needs and this machine lacks."""
    return [program for program in WANTED if shutil.which(program) is None]


def prepare(world: World, folder: Path) -> Path:
    """Write down what the script has to know of the project: the file that it is given."""
    project = load(world.config, world.variables)
    file = folder / "systems.json"
    file.write_text(json.dumps([_system(world, app) for app in project.apps.values()], indent=1))
    return file


def _system(world: World, app: App) -> dict[str, Any]:
    source, target = app.targets["dev"], app.targets["staging"]
    command = app.platform == "command"
    checkout = world.config.parent.parent / app.repository.partition("/")[2]
    return {
        "app": app.name,
        "kind": app.platform,
        "repository": app.repository,
        "task": app.records["dev"].task,
        "from": app.records["dev"].environment,
        "to": app.records["staging"].environment,
        "source": str(checkout) if command else source.name,
        "target": "staging" if command else target.name,
        "backup": app.backup,
    }


def promote(world: World, systems: Path) -> None:
    """Run the script. Raises `SystemExit` with its words when it fails."""
    done = subprocess.run(
        [SCRIPT, systems],
        env={**os.environ, **world.variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the script ended with {done.returncode}:\n{done.stderr}")
