"""Over TLS: HTTP/2 where it is offered, HTTP/1.1 where not, and no stranger's certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import anyio
import h2.config
import h2.connection
import h2.events
import httpx2
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from liftlock.errors import Unreachable
from liftlock.http import Http
from liftlock.http import connections as connections_module

pytestmark = pytest.mark.anyio


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that has signed itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return file


@asynccontextmanager
async def server(certificate: Path, *protocols: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Answers `{}` to everything; yields its address and the protocol of each connection."""
    spoken: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(list(protocols))

    async def serve(stream: TLSStream) -> None:
        spoken.append(stream.extra(TLSAttribute.alpn_protocol) or "")
        async with stream:
            try:
                await (_http2(stream) if spoken[-1] == "h2" else _http1(stream))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = plain.extra(SocketAttribute.local_port)
    listener = TLSListener(plain, context)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"https://127.0.0.1:{port}", spoken
        tasks.cancel_scope.cancel()


async def _http1(stream: TLSStream) -> None:
    seen = b""
    while True:
        seen += await stream.receive()
        while b"\r\n\r\n" in seen:
            seen = seen.partition(b"\r\n\r\n")[2]
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def _http2(stream: TLSStream) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    await stream.send(connection.data_to_send())
    while True:
        for event in connection.receive_data(await stream.receive()):
            if isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200")])
                connection.send_data(event.stream_id, b"{}", end_stream=True)
        if waiting := connection.data_to_send():
            await stream.send(waiting)


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusts the certificate, as companies' own authorities are: by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(connections_module, "_tls", [])


@pytest.mark.usefixtures("trusted")
async def test_many_requests_share_one_http2_connection(certificate: Path) -> None:
    async with server(certificate, "h2", "http/1.1") as (address, spoken):
        http = Http("github", address)
        assert (await http.request("GET", "/first")).object() == {}

        async def ask() -> None:
            assert (await http.request("POST", "/x", json={"n": 1})).object() == {}

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
        await http.aclose()
    assert spoken == ["h2"]


@pytest.mark.usefixtures("trusted")
async def test_a_server_without_http2_is_spoken_to_in_http1(certificate: Path) -> None:
    async with server(certificate, "http/1.1") as (address, spoken):
        http = Http("github", address)
        assert (await http.request("GET", "/x")).object() == {}
        await http.aclose()
    assert spoken == ["http/1.1"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_tls", [httpx2.create_ssl_context()])
    monkeypatch.setattr("liftlock.http.client.FIRST_BACKOFF_S", 0.001)
    async with server(certificate, "http/1.1") as (address, spoken):
        http = Http("github", address)
        with pytest.raises(Unreachable, match="certificate"):
            await http.request("POST", "/x", json={})
        await http.aclose()
    assert spoken == []
