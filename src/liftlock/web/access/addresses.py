"""Where a request came from, and which addresses of ours it may be for."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.types import Scope

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def client_address(scope: Scope, headers: Mapping[bytes, bytes], proxies: Collection[str]) -> str:
    """The address of whoever asks. What proxies say is believed as far as they are trusted ones."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    for said in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
        if not said.strip() or not _is_in(address, proxies):
            break
        address = said.strip()[:60]
    return address


def _is_in(address: str, networks: Collection[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address in LOOPBACK


def host_of(headers: Mapping[bytes, bytes]) -> str:
    """The host that a request names, without its port, in lower case."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


def known_hosts(url: str) -> frozenset[str]:
    """The hosts that requests may name: another one is a name that somebody let lead here (DNS rebinding)."""
    return LOOPBACK | ({urlsplit(url).hostname or ""} if url else set())


def origin(scope: Scope, headers: Mapping[bytes, bytes], url: str) -> str:
    """Our own origin: of `[serve] url` where the request came by it, else as the request names it."""
    if url:
        parts = urlsplit(url)
        if host_of(headers) == parts.hostname:
            return f"{parts.scheme}://{parts.netloc}".lower()
    return f"{scope.get('scheme', 'http')}://{headers.get(b'host', b'').decode('latin-1')}".lower()


def safe_path(path: str) -> str:
    """A path of ours to go on to; "/" for anything that could lead elsewhere."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path
    return path if is_ours and path.isprintable() and len(path) < 2000 else "/"
