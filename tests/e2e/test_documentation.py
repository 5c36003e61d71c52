"""The how-to guides, followed word for word: each command succeeds, and prints what the page shows.

Each page begins in a world of its own, where the reference project was lifted to production.
What a page names as an example (a record's id, a backup, a commit) is what there is in that world.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from liftlock.demo.workspace import publish
from tests.docs.pages import PAGES, name
from tests.docs.reader import Typed, follow, typed
from tests.e2e.cloud import Cloud
from tests.e2e.conftest import Make

pytestmark = pytest.mark.e2e

Names = Mapping[str, str]
"""What is typed instead of a page's example."""

EXAMPLES: Names = {
    "b007": "b001",
    "OWNER/REPO@main": "example/services@main",
    "OWNER/liftlock@COMMIT": f"example/liftlock@{40 * 'a'}",
}


@pytest.fixture(scope="session")
def lifted(tmp_path_factory: pytest.TempPathFactory, program: Path, staged: Path) -> Path:
    """A world where version 1 runs everywhere, and a second version of ODB as well."""
    folder = tmp_path_factory.mktemp("lifted")
    shutil.copytree(staged, folder, dirs_exist_ok=True)
    with Cloud(folder, program) as cloud:
        cloud.run("promote staging production --yes")
        cloud.publish("ODB", seed="second")
        cloud.run("promote dev staging --yes")
        cloud.run("promote staging production --yes")
    return folder


def nothing(cloud: Cloud) -> Names:
    return {}


def newer_in_dev(cloud: Cloud) -> Names:
    """Something to promote."""
    cloud.publish("ITC", seed="newer")
    return {}


def first_promotion(cloud: Cloud) -> Names:
    """The page goes back to what the first promotion to production left."""
    first = next(one for one in cloud.intents("production") if one["task"] == "liftlock:promotion")
    return {"--to 21": f"--to {first['id']}"}


def killed(cloud: Cloud) -> Names:
    """A promotion to staging that was killed while it switched."""
    cloud.publish("SSO", seed=f"after {len(cloud.intents('staging'))}")
    cloud.settings(release_s=1.0)
    cloud.clear_log()
    process = cloud.start("promote dev staging --yes")
    cloud.wait_until(lambda: cloud.requests("PATCH", "/formation$"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return {}


def killed_and_broken(cloud: Cloud) -> Names:
    """The same, and its lease was broken."""
    killed(cloud)
    cloud.run('lease break staging --reason "the runner was killed"')
    return {}


def an_hour_ago(cloud: Cloud) -> Names:
    """A point in time at which something else ran, in the two ways to say it."""
    second = cloud.intents("production")[-1]["created_at"]
    return {"--to 2h": f"--to {second}", "--to 2026-11-20T12:00": f"--to {second}"}


def published(cloud: Cloud) -> Names:
    """The commits' files, which a sandbox that was started again has forgotten."""
    publish(cloud.sandbox, cloud.workspace)
    return {}


def not_adopted(cloud: Cloud) -> Names:
    """A team's checkout, and what it has at its vendors."""
    cloud.workspace.config.unlink()
    return {}


SCENES: Mapping[str, Callable[[Cloud], Names]] = {
    "a promotion was killed": killed,
    "a promotion was killed, its lease is free": killed_and_broken,
    "dev has something newer": newer_in_dev,
    "production was promoted twice": first_promotion,
    "something else ran then": an_hour_ago,
    "there is no liftlock.toml yet": not_adopted,
    "GitHub has the project's file": published,
}
"""What a page says of its world in a comment above a block: it is made so before that is typed."""


GUIDES = [page for page in PAGES if page.parent.name == "how-to" and typed(page)]


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_a_guide_goes_as_it_says(page: Path, make_cloud: Make, lifted: Path) -> None:
    with make_cloud(lifted) as cloud:
        variables = {
            **cloud.variables,
            "PATH": f"{cloud.program.parent}{os.pathsep}{cloud.variables['PATH']}",
        }
        variables["GITHUB_STEP_SUMMARY"] = str(cloud.folder / "summary.md")
        names = dict(EXAMPLES)
        for step in typed(page):
            if step.block.mark == "second terminal":
                continue  # the world has its sandbox already
            if made := SCENES.get(step.block.mark):
                names.update(made(cloud))
            follow([called(step, names)], cloud.folder / "services", variables)


def called(step: Typed, names: Names) -> Typed:
    """The step, with what there is in this world instead of the page's examples."""
    text = step.block.text
    for example, real in names.items():
        text = re.sub(rf"{re.escape(example)}(?![\w-])", real, text)
    return replace(step, block=replace(step.block, text=text))
