"""How a Docker engine is reached, by the address that `DOCKER_HOST` would have.

- `unix:///var/run/docker.sock`: a socket of this machine;
- `tcp://host:2376`: with TLS, by the certificates in `DOCKER_CERT_PATH`, `DOCKER_CONFIG` or `~/.docker`, as
  docker itself finds them; without TLS to this machine alone;
- `ssh://user@host`: `docker system dial-stdio`, run at the other end by ssh.

Sources: docker/cli, `docs/reference/commandline/cli.md`, "Environment variables", and
`cli/connhelper/connhelper.go`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpcore2
import httpx2
from anyio.abc import Process

from liftlock.errors import UsageError
from liftlock.http import safe_address
from liftlock.http.addresses import is_loopback

LOCAL = "unix:///var/run/docker.sock"
"""Where docker itself looks when nobody says anything else."""
_LIMITS = httpx2.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=30.0)
_SAID = 2000
"""Of what ssh says when it fails, so many bytes are passed on."""


@dataclass(frozen=True, slots=True)
class DockerHost:
    """A way to an engine: the base of its HTTP addresses, and what carries requests there."""

    base: str
    transport: httpx2.AsyncBaseTransport


def engine_address(address: str, environ: Mapping[str, str]) -> str:
    """Where the engine is that a target names: nothing means that of docker's variable, or this machine's."""
    return address or environ.get("DOCKER_HOST") or LOCAL


def docker_environ(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with which the docker command goes to the very engine that we do, and as safely.

    By itself it would follow a context of its own, and speak TLS only when it is told to.
    """
    address = engine_address(address, environ)
    told = {"DOCKER_HOST": address}
    if not address.startswith(("unix:", "ssh:")) and tcp_base(address, environ).startswith("https:"):
        told["DOCKER_TLS_VERIFY"] = "1"
    return {**environ, **told}


def docker_host(address: str, environ: Mapping[str, str], home: Path) -> DockerHost:
    """The way to the engine at an address. Opens nothing. Raises `UsageError`."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return DockerHost("http://localhost", _plain(uds=parts.path or address.removeprefix("unix://")))
    if parts.scheme == "ssh":
        return DockerHost("http://localhost", _SshTransport(ssh_command(address), environ))
    base = tcp_base(address, environ)
    if base.startswith("https://"):
        folder = Path(environ.get("DOCKER_CERT_PATH") or environ.get("DOCKER_CONFIG") or home / ".docker")
        return DockerHost(base, _TlsTransport(folder))
    return DockerHost(base, _plain())


def tcp_base(address: str, environ: Mapping[str, str]) -> str:
    """The HTTP address of `tcp://host:port/path`: plain on this machine unless docker's variables ask for TLS."""
    parts = urlsplit(address)
    if parts.scheme not in {"tcp", "http", "https"} or not parts.hostname:
        raise UsageError(
            f"{safe_address(address)} is not where a Docker engine is.",
            hint="Write unix:///PATH, ssh://USER@HOST or tcp://HOST:2376.",
        )
    wants_tls = bool(environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_CERT_PATH"))
    is_plain = is_loopback(f"//{parts.netloc}") and not wants_tls
    return f"{'http' if is_plain else 'https'}://{parts.netloc}{parts.path.rstrip('/')}"


def ssh_command(address: str) -> tuple[str, ...]:
    """The command that connects standard input and output to the engine at the other end.

    It never asks for a password: there is nobody to type one.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    if not host or host.startswith("-") or (parts.username or "").startswith("-") or parts.password:
        raise UsageError(
            f"{safe_address(address)} is not where a Docker engine is.", hint="Write ssh://USER@HOST."
        )
    command = ["ssh", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-T"]
    command += ["-l", parts.username] if parts.username else []
    command += ["-p", str(parts.port)] if parts.port else []
    command += ["--", host, "docker"]
    command += ["--host", f"unix://{parts.path}"] if parts.path.strip("/") else []
    return (*command, "system", "dial-stdio")


def _plain(uds: str | None = None) -> httpx2.AsyncBaseTransport:
    # An empty TLS context: a plain connection needs none, and loading one takes 20 ms.
    return httpx2.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), uds=uds, limits=_LIMITS)


def _certified(folder: Path) -> ssl.SSLContext:
    """The engine is checked by `ca.pem`, where there is one, and told who we are by `cert.pem` and `key.pem`."""
    authorities = folder / "ca.pem"
    try:
        context = ssl.create_default_context(cafile=str(authorities) if authorities.exists() else None)
        if (folder / "cert.pem").exists():
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The certificates for Docker in {folder} cannot be used: {error}.",
            hint="They are ca.pem, cert.pem and key.pem; DOCKER_CERT_PATH names their folder.",
        ) from error
    return context


class _TlsTransport(httpx2.AsyncHTTPTransport):
    """Connections on which both sides show a certificate.

    With TLS 1.3 an engine that refuses ours does so after the handshake, and its words are lost as often as
    not when it closes the connection; so a first request that is not answered says what that may mean.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(verify=_certified(folder), limits=_LIMITS)
        self._folder = folder
        self._has_answered = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = await super().handle_async_request(request)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError, ssl.SSLError) as error:
            if self._has_answered:
                raise
            has_one = (self._folder / "cert.pem").exists()
            said = str(error) or "the connection was closed"
            raise httpx2.ReadError(
                f"{said}; the engine may not accept {'the' if has_one else 'us without a'} certificate in {self._folder}"
            ) from error
        self._has_answered = True
        return answer


class _SshTransport(httpx2.AsyncHTTPTransport):
    """Every connection is a process of ssh."""

    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        # httpx2 offers no place for another kind of connection; what it does with a pool is all the same.
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=_Ssh(command, environ),
            max_connections=4,
            max_keepalive_connections=4,
            keepalive_expiry=60.0,
        )


class _Ssh(httpcore2.AsyncNetworkBackend):
    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._command = command
        self._environ = dict(environ)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            process = await anyio.open_process(
                self._command, env=self._environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
        except OSError as error:
            raise httpcore2.ConnectError(f"ssh cannot be started: {error.strerror or error}") from error
        return _Piped(process)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Piped(httpcore2.AsyncNetworkStream):
    """A process's standard input and output as a connection."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._has_answered = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        try:
            with anyio.fail_after(timeout):
                found = await self._process.stdout.receive(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except anyio.EndOfStream:
            if self._has_answered:
                return b""
            # ssh itself failed, so the request went nowhere.
            raise httpcore2.ConnectError(await self._complaint()) from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore2.ReadError(str(error)) from error
        self._has_answered = True
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            with anyio.fail_after(timeout):
                await self._process.stdin.send(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            if self._has_answered:
                raise httpcore2.WriteError(str(error)) from error
            raise httpcore2.ConnectError(await self._complaint()) from error

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.aclose()

    def get_extra_info(self, info: str) -> Any:
        """The pool asks whether there is something to read where nothing should be: the other end has gone."""
        return self._process.returncode is not None if info == "is_readable" else None

    async def _complaint(self) -> str:
        """What ssh says of its failure."""
        said = b""
        with anyio.move_on_after(2.0):
            if self._process.stderr is not None:
                async for piece in self._process.stderr:
                    said = (said + piece)[-_SAID:]
        words = " ".join(said.decode(errors="replace").split())
        return words or "ssh ended without a word"
