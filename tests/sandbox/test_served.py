"""The cloud over real TCP: connections that break, sites by host, Slack, pages, restarts, the program."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.sandbox.serving import served
from tests.sandbox.worlds import COMMITS, DEPLOYMENT, REPO, WORLD, C, file_map

REF = {"ref": "refs/x/y", "sha": C}


def refs(web: httpx2.Client) -> Any:
    return web.get("/_sandbox/state").json()["github"]["repositories"]["example/services"]["refs"]


def deploy(
    web: httpx2.Client, files: dict[str, str], config: dict[str, Any], site: str = "explore-dev"
) -> Any:
    base = f"/v1beta1/sites/{site}"
    name = web.post(f"{base}/versions", json={"status": "CREATED"}).json()["name"]
    names, blobs = file_map(files)
    wanted = web.post(f"/v1beta1/{name}:populateFiles", json={"files": names}).json()
    for digest in wanted["uploadRequiredHashes"]:
        assert web.post(f"{wanted['uploadUrl']}/{digest}", content=blobs[digest]).status_code == 200
    body = {"status": "FINALIZED", "config": config}
    assert web.patch(f"/v1beta1/{name}?updateMask=status,config", json=body).status_code == 200
    assert web.post(f"{base}/channels/live/releases", params={"versionName": name}).status_code == 200


def test_reset_closes_the_tcp_connection_and_applies_nothing(web: httpx2.Client) -> None:
    web.post("/_sandbox/faults", json={"action": "reset", "vendor": "github", "times": 1})
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        web.post(f"{REPO}/git/refs", json=REF)
    assert "refs/x/y" not in refs(web)
    assert web.post(f"{REPO}/git/refs", json=REF).status_code == 201


def test_reset_is_a_reset_on_the_wire(web: httpx2.Client) -> None:
    web.post("/_sandbox/faults", json={"action": "reset", "vendor": "github"})
    with socket.create_connection(("127.0.0.1", web.base_url.port)) as connection:
        connection.sendall(b"GET /user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer owner\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_lost_applies_and_closes_the_connection(web: httpx2.Client) -> None:
    web.post("/_sandbox/faults", json={"action": "lost", "vendor": "github", "times": 1})
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        web.post(f"{REPO}/git/refs", json=REF)
    assert refs(web)["refs/x/y"] == C


def test_hang_lasts_until_the_client_leaves(web: httpx2.Client) -> None:
    web.post("/_sandbox/faults", json={"action": "hang", "vendor": "github", "times": 1})
    with pytest.raises(httpx2.ReadTimeout):
        web.post(f"{REPO}/git/refs", json=REF, timeout=0.2)
    assert "refs/x/y" not in refs(web)


def test_hanging_request_goes_on_when_its_rule_is_deleted(web: httpx2.Client) -> None:
    web.post("/_sandbox/faults", json={"action": "hang", "vendor": "github"})
    answers = []
    thread = threading.Thread(target=lambda: answers.append(web.post(f"{REPO}/git/refs", json=REF)))
    thread.start()
    until = time.monotonic() + 5
    while not any(row["fault"] for row in web.get("/_sandbox/requests").json()) and time.monotonic() < until:
        pass
    web.delete("/_sandbox/faults")
    thread.join(5)
    assert answers[0].status_code == 201


def test_site_is_served_by_host_and_by_path(web: httpx2.Client) -> None:
    config = {
        "rewrites": [{"glob": "**", "path": "/index.html"}],
        "redirects": [{"glob": "/old", "statusCode": 301, "location": "/new"}],
        "headers": [{"glob": "**/*.js", "headers": {"Cache-Control": "no-store"}}],
    }
    deploy(web, {"/index.html": "<p>hello</p>", "/app.js": "let a"}, config)
    host = {"host": f"explore-dev.localhost:{web.base_url.port}"}
    for base, headers in (("", host), ("/_sites/explore-dev", {})):
        page = web.get(f"{base}/any/where", headers=headers)
        assert (page.text, page.headers["content-type"]) == ("<p>hello</p>", "text/html; charset=utf-8")
        assert page.headers["content-encoding"] == "gzip"
        assert web.get(f"{base}/app.js", headers=headers).headers["cache-control"] == "no-store"
        assert web.get(f"{base}/old", headers=headers).headers["location"] == f"{base}/new"
        plain = web.get(f"{base}/", headers={**headers, "accept-encoding": "identity"})
        assert (plain.text, "content-encoding" in plain.headers) == ("<p>hello</p>", False)
        again = web.get(f"{base}/", headers={**headers, "if-none-match": page.headers["etag"]})
        assert again.status_code == 304


def test_slack_answers_in_plain_text_and_shows_what_arrived(web: httpx2.Client) -> None:
    url = "/services/T1/B1/secret"
    answer = web.post(url, json={"text": "first <https://example.invalid/x|the diff> *bold* &lt;b&gt;"})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        200,
        "ok",
        "text/plain; charset=utf-8",
    )
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "second <script>"}}]
    web.post(url, json={"text": "fallback", "blocks": blocks})
    wrong = web.post(url, content=b"text=hello")
    assert (wrong.status_code, wrong.text) == (400, "invalid_payload")
    page = web.get("/slack").text
    assert page.index("second &lt;script&gt;") < page.index("first")
    assert '<a href="https://example.invalid/x">the diff</a> <b>bold</b> &lt;b&gt;' in page
    assert len(web.get("/_sandbox/state").json()["slack"]) == 2


def test_index_page_shows_what_is_there(web: httpx2.Client) -> None:
    web.post(f"{REPO}/deployments", json=DEPLOYMENT)
    page = web.get("/_sandbox/")
    assert page.headers["content-type"].startswith("text/html")
    for text in ("explore-dev.localhost", "deploy:SSO", "/repos/example/services/deployments"):
        assert text in page.text


def test_request_log_is_numbered_filtered_and_cut(web: httpx2.Client) -> None:
    web.post(f"{REPO}/git/blobs", json={"content": "x" * 9000})
    web.post("/services/T/B/X", json={"text": "hello"})
    github = web.get("/_sandbox/requests", params={"vendor": "github"}).json()
    assert (github[-1]["method"], github[-1]["status"], len(github[-1]["body"])) == ("POST", 201, 4096)
    later = web.get("/_sandbox/requests", params={"since": github[-1]["n"], "vendor": "slack"}).json()
    assert [row["body"] for row in later] == [{"text": "hello"}]
    assert web.delete("/_sandbox/requests").status_code == 204
    assert web.get("/_sandbox/requests", params={"vendor": "github"}).json() == []


@pytest.mark.parametrize(
    ("path", "status", "key"),
    [
        ("/repos/example/none", 404, "message"),
        ("/v1beta1/nothing", 404, "error"),
        ("/_sandbox/none", 404, "error"),
    ],
)
def test_errors_have_each_vendors_format(web: httpx2.Client, path: str, status: int, key: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, key in answer.json()) == (status, True)


def test_bodies_that_are_not_json_are_refused_in_the_vendors_format(web: httpx2.Client) -> None:
    answer = web.post(f"{REPO}/deployments", content=b"{")
    assert (answer.status_code, answer.json()["message"]) == (400, "Problems parsing JSON")
    assert web.post("/v1beta1/sites/explore-dev/versions", content=b"[]").json()["error"]["code"] == 400


@pytest.mark.parametrize("world", [{"gitlab": {}}, {"github": []}, {"github": {"repositories": ["x"]}}])
def test_wrong_worlds_are_refused(web: httpx2.Client, world: dict[str, Any]) -> None:
    assert web.put("/_sandbox/world", json=world).status_code == 400


@pytest.mark.parametrize("settings", [{"speed": 1}, {"clone_s": "fast"}, {"limits": 1}])
def test_wrong_settings_are_refused(web: httpx2.Client, settings: dict[str, Any]) -> None:
    assert web.put("/_sandbox/settings", json=settings).status_code == 400


def test_state_survives_a_restart(tmp_path: Path) -> None:
    with served(tmp_path) as web:
        web.put("/_sandbox/world", json=WORLD)
        web.put("/_sandbox/github/example/services/commits", json=COMMITS)
        web.put("/_sandbox/settings", json={"clone_s": 2})
        made = web.post(f"{REPO}/deployments", json=DEPLOYMENT).json()
        deploy(web, {"/index.html": "kept"}, {})
        before = web.get("/_sandbox/state").json()
    with served(tmp_path) as web:
        assert web.get("/_sandbox/state").json() == before
        assert web.get("/_sandbox/settings").json()["clone_s"] == 2
        assert web.get("/_sites/explore-dev/").text == "kept"
        again = web.post(f"{REPO}/deployments", json=DEPLOYMENT).json()
        assert again["id"] > made["id"]


def test_program_says_where_it_listens_and_stops_on_sigterm(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "liftlock.sandbox", "--state", str(tmp_path / "state"), "--modelled"]
    process = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert (line, line["pid"]) == (json.loads(ready.read_text()), process.pid)
        assert httpx2.get(f"http://127.0.0.1:{line['port']}/_sandbox/health").json() == {"ok": True}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
