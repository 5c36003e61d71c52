"""Which addresses are whose: origins, this machine, and what is too unsafe to talk to."""

from __future__ import annotations

from urllib.parse import urlsplit

from liftlock.errors import UsageError
from liftlock.http.answers import vendor_name
from liftlock.http.redaction import safe_address


def origin_of(url: str) -> str:
    """`scheme://host:port` of an address, the port only where it is not the scheme's own.

    "" for what is no address: it is nobody's origin.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    if ":" in host:
        host = f"[{host}]"
    if port is None or (parts.scheme, port) in {("http", 80), ("https", 443)}:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine: 127.0.0.0/8, ::1, `localhost` and names below it."""
    try:
        host = (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost") or host == "::1":
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isdigit() and int(p) < 256 for p in parts)


def refuse_unsafe(vendor: str, base: str) -> None:
    shown = safe_address(base)
    if not origin_of(base).startswith(("http://", "https://")):
        raise UsageError(
            f"The address of {vendor_name(vendor)} must begin with https://, not be {shown!r}.",
            hint="Set it in [endpoints] or by its environment variable.",
        )
    parts = urlsplit(base)
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
