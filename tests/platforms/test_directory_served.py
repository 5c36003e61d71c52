"""A directory's site behind nginx, configured as the how-to says, under load while it is switched."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from liftlock.model import Release
from tests.platforms.test_directory import COMMIT, Rig, rig

pytestmark = pytest.mark.anyio
__all__ = ["rig"]  # a fixture
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-a-site-of-your-own.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
WRK = shutil.which("wrk")
LOAD_S = 4
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)")


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[str]:
    """nginx with the how-to's configuration, for a site's directory; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    page = PAGE.read_text()
    shown = re.search(r"```nginx\n(.*?)```", page, re.DOTALL)
    assert shown
    server = (
        shown[1].replace("/srv/www/production/explore", str(root)).replace("listen 80;", f"listen {host};")
    )
    folder.mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # the tests' own folders are closed to others
    types = "types { text/html html; text/javascript js; }"
    (folder / "nginx.conf").write_text(
        f"{user}daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/errors warn;\n"
        f"events {{ worker_connections 256; }}\n"
        f"http {{ access_log off; {types}\n{temporary}{server} }}\n"
    )
    assert NGINX
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")])
    try:
        for _ in range(200):
            try:
                httpx2.get(f"http://{host}/", trust_env=False)
                break
            except httpx2.TransportError:
                assert process.poll() is None, (folder / "errors").read_text()
                time.sleep(0.02)
        yield f"http://{host}"
    finally:
        process.terminate()
        process.wait(10)


async def publish(rig: Rig, number: int) -> Release:
    """A version of a site as bundlers build it: its page names its script and its style by content."""
    files = {}
    for kind in ("script.js", "style.css"):
        content = f"{kind} of {number}\n" * 50
        name, suffix = kind.split(".")
        files[f"assets/{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}.{suffix}"] = content
    files["index.html"] = f"<!-- {number} -->" + "".join(f'<link href="/{name}">' for name in files)
    files["robots.txt"] = "the same in all of them\n"
    rig.write(files)
    return await rig.platform.publish(rig.app, COMMIT, rig.folder / "checkout", rig.told.append)


class Browser:
    """Opens the page again and again, and then what it names, as a browser would."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.pages = 0
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    def run(self, stop: threading.Event) -> None:
        with httpx2.Client(base_url=self.base, trust_env=False) as client:
            while not stop.is_set():
                page = client.get("/")
                number = page.text[5:].partition(" ")[0]
                self.seen.add(number)
                self.pages += 1
                if page.status_code != 200 or page.headers["cache-control"] != "no-cache":
                    self.wrong.append(f"/ answers {page.status_code}")
                for asset in re.findall(r'href="([^"]+)"', page.text):
                    answer = client.get(asset)
                    if answer.status_code != 200 or f" of {number}\n" not in answer.text:
                        self.wrong.append(f"{asset} of {number} answers {answer.status_code}")
                    elif "immutable" not in answer.headers["cache-control"]:
                        self.wrong.append(f"{asset} may not be cached")


def wrk(base: str) -> subprocess.Popen[str]:
    assert WRK
    command = [WRK, "-t1", "-c16", f"-d{LOAD_S}s", f"{base}/"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@needs_nginx
@pytest.mark.skipif(WRK is None, reason="wrk is not installed (apt-get install wrk)")
@pytest.mark.promise("P4")
async def test_no_request_fails_and_no_page_is_mixed_while_versions_are_switched(rig: Rig) -> None:
    """P4. Under wrk's load on all processors, with browsers beside it."""
    releases = [await publish(rig, number) for number in range(6)]
    await rig.lift(releases[0], "dev", keep=5)
    stop = threading.Event()
    with nginx(rig.root("dev"), rig.folder / "nginx") as base:
        browsers = [Browser(base) for _ in range(2)]
        threads = [threading.Thread(target=browser.run, args=(stop,)) for browser in browsers]
        load = wrk(base)
        for thread in threads:
            thread.start()
        try:
            switches = 0
            while load.poll() is None:
                # Up through all of them, and now and then back: what a rollback does.
                wanted = releases[(switches - switches % 4) % 6 if switches % 4 == 3 else switches % 6]
                await rig.platform.release(rig.target("dev", keep=5), wanted, rig.told.append)
                switches += 1
                await anyio.sleep(0.02)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        report = load.communicate()[0]
        assert "Non-2xx" not in report, report
        assert "Socket errors" not in report, report
    assert [browser.wrong for browser in browsers] == [[], []]
    assert set.union(*(browser.seen for browser in browsers)) == set("012345")
    assert min(browser.pages for browser in browsers) > 20
    assert switches > 10
    assert "crit" not in (rig.folder / "nginx" / "errors").read_text()


@needs_nginx
async def test_the_how_tos_server_answers_as_a_site_does(rig: Rig) -> None:
    first, second = await publish(rig, 1), await publish(rig, 2)
    await rig.lift(first, "dev")
    with nginx(rig.root("dev"), rig.folder / "nginx") as base, httpx2.Client(base_url=base) as client:
        asset = re.findall(r'href="([^"]+)"', client.get("/").text)[0]
        assert client.get("/robots.txt").text == "the same in all of them\n"
        assert client.get("/a/deep/link").text.startswith("<!-- 1 -->"), "a page's own paths"
        assert client.get("/assets/none.js").status_code == 404
        await rig.lift(second, "dev", health="/", url=base)
        assert client.get("/").text.startswith("<!-- 2 -->"), "at once, and without a reload"
        assert " of 1\n" in client.get(asset).text, "what an open page still asks for"
