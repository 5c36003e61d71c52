"""Which addresses are whose: origins, this machine, and what is too unsafe to talk to."""

from __future__ import annotations

from urllib.parse import urlsplit

from liftlock.errors import UsageError
from liftlock.http.answers import vendor_name
from liftlock.http.redaction import safe_address


def origin_of(url: str) -> str:
    """`scheme://host:port` of an address, the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    if port is None or (parts.scheme, port) in {("http", 80), ("https", 443)}:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine: 127.0.0.0/8, ::1, `localhost` and names below it."""
    host = (urlsplit(url).hostname or "").lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host == "::1":
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isdigit() and int(p) < 256 for p in parts)


def refuse_unsafe(vendor: str, base: str) -> None:
    parts = urlsplit(base)
    shown = safe_address(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"The address of {vendor_name(vendor)} must begin with https://, not be {shown!r}.",
            hint="Set it in [endpoints] or by its environment variable.",
        )
    if parts.username or parts.password:
        raise UsageError(
            f"The address of {vendor_name(vendor)} must not hold a user name or password ({shown}).",
            hint="Credentials come from the usual places or from env:NAME and keyring:NAME.",
        )
    if parts.scheme == "http" and not is_loopback(base):
        raise UsageError(
            f"Plain http is refused except to this machine: {shown} is the address of {vendor_name(vendor)}.",
            hint="Use https://.",
        )
