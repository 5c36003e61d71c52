"""One port for plain HTTP, for TLS, and for tunnels to the vendors' host names."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from liftlock.sandbox.hosts import is_ours
from tests.sandbox.serving import served

HEALTHY = b'{"ok":true}'


@pytest.fixture
def web(tmp_path: Path) -> Iterator[httpx2.Client]:
    with served(tmp_path) as client:
        yield client


@pytest.fixture
def trusting(tmp_path: Path, web: httpx2.Client) -> ssl.SSLContext:
    """A client's trust in this sandbox and in nobody else."""
    return ssl.create_default_context(cafile=tmp_path / "certificate.pem")


def connect(web: httpx2.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.base_url.port or 0), timeout=10)


def ask(connection: socket.socket, host: str = "sandbox") -> bytes:
    """The answer to a look at the sandbox's health, whole."""
    head = f"GET /_sandbox/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    connection.sendall(head.encode())
    return everything(connection)


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def tunnel(connection: socket.socket, target: str) -> bytes:
    """Ask for a tunnel; the head of the answer."""
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
        answer += part
    return answer


def test_plain_and_tls_are_served_on_one_port(web: httpx2.Client, trusting: ssl.SSLContext) -> None:
    with connect(web) as plain:
        assert ask(plain).endswith(HEALTHY)
    with connect(web) as raw, trusting.wrap_socket(raw, server_hostname="127.0.0.1") as safe:
        assert ask(safe).endswith(HEALTHY)


def test_an_answer_over_tls_says_so_in_its_addresses(web: httpx2.Client, trusting: ssl.SSLContext) -> None:
    site = {"firebase": {"sites": [{"name": "explore-dev", "project": "observatory"}]}}
    assert web.put("/_sandbox/world", json=site).status_code == 200
    base = f"https://127.0.0.1:{web.base_url.port}"
    with httpx2.Client(base_url=base, verify=trusting, headers=web.headers) as client:
        answer = client.get("/v1beta1/projects/-/sites/explore-dev").json()
    assert answer["defaultUrl"].startswith("https://explore-dev.localhost:")


@pytest.mark.parametrize("host", ["api.heroku.com", "registry.heroku.com", "api.data.heroku.com"])
def test_a_tunnel_to_a_vendor_ends_in_the_sandbox(
    web: httpx2.Client, trusting: ssl.SSLContext, host: str
) -> None:
    with connect(web) as raw:
        assert tunnel(raw, f"{host}:443").startswith(b"HTTP/1.1 200 ")
        with trusting.wrap_socket(raw, server_hostname=host) as safe:
            assert ask(safe, host).endswith(HEALTHY)


def test_a_tunnel_may_be_plain_and_its_head_may_come_in_pieces(web: httpx2.Client) -> None:
    with connect(web) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"CONN", b"ECT localhost:80 HTTP/1.1\r\n", b"\r\n"):
            raw.sendall(piece)
        assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert ask(raw).endswith(HEALTHY)


@pytest.mark.parametrize("host", ["example.com", "heroku.com.example.com", "a.b.heroku.com", "com", ""])
def test_no_tunnel_leads_elsewhere(web: httpx2.Client, host: str) -> None:
    with connect(web) as raw:
        answer = tunnel(raw, f"{host}:443") + everything(raw)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"and to nobody else.\n")
    assert not is_ours(host)


def test_a_method_that_only_begins_like_connect_is_refused(web: httpx2.Client) -> None:
    with connect(web) as raw:
        raw.sendall(b"COPY /apps HTTP/1.1\r\n\r\n")
        assert everything(raw).startswith(b"HTTP/1.1 405 ")


def test_who_does_not_trust_it_disturbs_nobody(web: httpx2.Client) -> None:
    with connect(web) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1")
    with closing(connect(web)):
        pass
    assert web.get("/_sandbox/health").content == HEALTHY


def test_without_a_folder_there_is_no_tls_to_be_had() -> None:
    """Nobody could find the certificate: a client that tries TLS first is told at once, and goes on plainly."""
    with served() as web, connect(web) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1")


def test_a_connection_that_says_nothing_does_not_hold_its_end_up(tmp_path: Path) -> None:
    with served(tmp_path) as web:
        silent = connect(web)
        begun = connect(web)
        begun.sendall(b"CONNECT api.heroku.com")
        assert web.get("/_sandbox/health").content == HEALTHY
    for connection in (silent, begun):
        with closing(connection):
            assert connection.recv(1) == b""


def test_every_start_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with served(tmp_path):
            seen.add((tmp_path / "certificate.pem").read_text())
    assert len(seen) == 2
    assert all(text.count("BEGIN CERTIFICATE") == 1 and "PRIVATE" not in text for text in seen)
