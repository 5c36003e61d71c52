"""From a step's event to the bar in the browser: a real run, watched in a real Chromium."""

from __future__ import annotations

import shutil
import statistics
import time
from typing import Any

from tests.commands.world import World
from tests.web.browser.conftest import Visitor, listening

WATCH = """
() => {
  window.seen = [];
  const look = () => {
    const done = document.querySelectorAll(".bar.done").length;
    if (!window.seen.length || window.seen.at(-1)[0] !== done) window.seen.push([done, Date.now()]);
  };
  new MutationObserver(look).observe(document.getElementById("main"), { subtree: true, childList: true, attributes: true });
}
"""
ROUNDS = 5


def latency() -> None:
    """Print how long after an event the page showed it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("There is no Chromium: the time to the browser is not measured.")
        return
    from playwright.sync_api import sync_playwright

    lags: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(ROUNDS):
            lags += _one(browser.new_context().new_page())
        browser.close()
    lags.sort()
    print(
        f"From a step's event to its bar in Chromium: median {statistics.median(lags):.0f} ms, "
        f"p95 {lags[int(0.95 * (len(lags) - 1))]:.0f} ms, {len(lags)} events"
    )


def _one(page: Any) -> list[float]:
    world = World()
    world.platform.takes_s = {"stage": 0.15, "backup": 0.25, "release": 0.3, "settle": 0.35}
    with listening(world) as served:
        told: list[float] = []
        Visitor(page).goes(f"{served.url}/plan/dev/staging")
        page.get_by_role("button", name="Promote to staging").click()
        page.wait_for_url("**/runs/*")
        page.evaluate(WATCH)
        id_ = page.url.rpartition("/")[2]

        async def listen() -> None:
            async for _, event in served.app.state.site.work.events(id_):
                if event["event"] == "step-finished" and event["outcome"] == "done":
                    told.append(time.time() * 1000)

        served.portal.call(listen)
        page.locator(".chip.big", has_text="succeeded").wait_for()
        seen = page.evaluate("window.seen")
    # The page shows every step but those that nobody waits for, so the moments are compared, not the counts.
    found = []
    for _, at in seen[1:]:
        before = [one for one in told if one <= at]
        if before:
            found.append(at - before[-1])
    return found
