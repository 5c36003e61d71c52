"""What the Firebase Hosting adapter sends, and what the sandbox answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liftlock.model import Known, Release, SiteVersion
from tests.contract.conftest import COMMITS, Stage

pytestmark = pytest.mark.anyio


def quiet(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A site's files and its hosting configuration."""
    folder = tmp_path / "explore"
    (folder / "public").mkdir(parents=True)
    (folder / "public" / "index.html").write_text("<h1>Explore</h1>")
    (folder / "public" / "app.js").write_text("console.log('explore')")
    hosting = {
        "public": "public",
        "ignore": ["firebase.json"],
        "headers": [{"source": "**/*.js", "headers": [{"key": "Cache-Control", "value": "max-age=60"}]}],
        "rewrites": [{"source": "**", "destination": "/index.html"}],
        "redirects": [{"source": "/old", "destination": "/", "type": 301}],
    }
    (folder / "firebase.json").write_text(json.dumps({"hosting": hosting}))
    return folder


async def test_a_site_s_way_up_and_back_is_as_google_describes_it(stage: Stage, checkout: Path) -> None:
    firebase = stage.adapters.platforms["firebase"]
    dev, staging = stage.target("Explore", "dev"), stage.target("Explore", "staging")
    nothing = await firebase.running(staging, [])
    assert nothing == Known({}) or isinstance(nothing, Known)

    built = await firebase.publish(stage.project.apps["Explore"], COMMITS[0], checkout, quiet)
    switch = await firebase.release(dev, built, quiet)
    await firebase.settle(dev, built, switch, 0.0, quiet)
    assert isinstance(await firebase.running(dev, [built]), Known)

    unpinned = Release("Explore", COMMITS[0], {})
    assert isinstance((await firebase.pin(dev, unpinned)).artifacts["site"], SiteVersion)
    pinned = await firebase.pin(dev, built)
    located = await firebase.locate(staging, pinned, dev)
    staged = await firebase.stage(staging, located, dev, quiet)  # type: ignore[arg-type]
    switch = await firebase.release(staging, staged, quiet)
    await firebase.settle(staging, staged, switch, 0.0, quiet)
    running = await firebase.running(staging, [staged])
    assert isinstance(running, Known)
    assert isinstance(nothing, Known)
    await firebase.restore(staging, nothing, quiet)
    assert ("POST", "/v1beta1/sites/explore-gemini-stage/versions:clone") in {
        (method, path.replace("/projects/-", "")) for method, path in stage.recorder.seen("firebase")
    }
