"""Takes the pictures of the dashboard in docs/pictures, from a real promotion on a sandbox of its own.

It wants Chromium on the machine and Playwright (requirements/dev.txt). Addresses and commits are made the
same each time; times and ages are those of the run.

Usage: python scripts/screenshots.py [FOLDER]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import ViewportSize, sync_playwright

from liftlock.demo import materials
from liftlock.demo.sandbox_process import environment, path_of_this_python, start_sandbox
from liftlock.demo.workspace import prepare, publish

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
ELSEWHERE = "--config ../services/liftlock.toml"
WIDE = ViewportSize(width=1180, height=720)
PHONE = ViewportSize(width=390, height=780)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="liftlock-screenshots-") as temporary:
        workspace = materials.create_workspace(Path(temporary))
        with start_sandbox(Path(temporary) / "sandbox") as sandbox:
            prepare(sandbox, workspace)
            variables = {
                **environment(sandbox, Path(temporary) / "preferences"),
                "PATH": path_of_this_python(),
                "HOME": temporary,
                "XDG_STATE_HOME": temporary,
            }

            def run(line: str, repository: str = "services") -> None:
                command = [sys.executable, "-m", "liftlock", *line.split()]
                subprocess.run(command, cwd=Path(temporary) / repository, env=variables, check=True)  # noqa: S603

            for repository in ("services", "explore", "admin"):
                run(f"deploy dev --yes {'' if repository == 'services' else ELSEWHERE}", repository)
            run("promote dev staging --yes")
            run("promote staging production --yes")
            materials.add_priority(workspace)
            publish(sandbox, workspace)
            run("deploy dev --yes")
            run(f"deploy dev --yes {ELSEWHERE}", "explore")
            shoot(folder, Path(temporary) / "services", variables)


def shoot(folder: Path, project: Path, variables: Mapping[str, str]) -> None:
    """Serve the project, promote it in the browser, and take a picture of each page."""
    server = subprocess.Popen(
        [sys.executable, "-m", "liftlock", "serve", "--port", "0"],
        cwd=project,
        env=dict(variables),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = _address(server)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            wide = chromium.new_context(viewport=WIDE).new_page()
            wide.goto(url)
            state = wide.context.storage_state()
            wide.locator("table.board").wait_for()
            _take(wide, folder / "dashboard-board.png")
            wide.get_by_role("link", name=re.compile("^Lift .* from dev$")).first.click()
            wide.get_by_role("button", name="Promote to staging").wait_for()
            _take(wide, folder / "dashboard-plan.png")
            wide.get_by_role("button", name="Promote to staging").click()
            wide.locator(".bar.release.running, .bar.verify.running").first.wait_for()
            _take(wide, folder / "dashboard-promotion.png")
            wide.locator(".chip.big", has_text="succeeded").wait_for(timeout=120_000)
            phone = chromium.new_context(
                viewport=PHONE,
                color_scheme="dark",
                is_mobile=True,
                device_scale_factor=1,
                storage_state=state,
            ).new_page()
            phone.goto(re.sub(r"(?<=\d)/.*", "/", url))
            phone.locator("table.board").wait_for()
            _take(phone, folder / "dashboard-phone.png")
            chromium.close()
    finally:
        server.terminate()
        server.wait(30)


def _address(server: subprocess.Popen[str]) -> str:
    """Where the server says that it is, or, where somebody has to sign in, the link that does."""
    said = server.stdout
    if said is None:
        raise SystemExit("the server has no output")
    url = _link(said.readline())
    with urlopen(url) as answer:  # noqa: S310 - our own server's, on loopback
        return _link(said.readline()) if "/sign-in" in answer.url else url


def _link(line: str) -> str:
    found = re.findall(r"http://\S+", line)
    if not found:
        raise SystemExit(f"the server said {line!r}")
    return str(found[-1])


def _take(page: Any, path: Path) -> None:
    page.evaluate("document.activeElement?.blur()")
    page.screenshot(path=path)
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
