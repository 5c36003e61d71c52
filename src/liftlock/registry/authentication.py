"""How a registry is told who we are: Basic from the first request on, or a token that it asks for.

Source: CNCF Distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit, urlunsplit

import anyio

from liftlock.errors import BadAnswer, UsageError
from liftlock.http import Answer, Http, field, optional, safe_address

Login = Callable[[], tuple[str, str] | None]
Connect = Callable[[str, str], Http]
"""(vendor, base) -> a client without credentials, for a registry's token service."""

DEFAULT_LIFETIME_S = 60.0
MARGIN_S = 10.0

_PARAMETER = re.compile(r'([a-zA-Z]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


class Authentication:
    """One registry's login. Tokens are kept until shortly before they expire."""

    def __init__(self, vendor: str, login: Login, connect: Connect) -> None:
        self._vendor = vendor
        self._login = login
        self._connect = connect
        self._challenge: dict[str, str] = {}
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}
        self._lock = anyio.Lock()

    async def header(self, scopes: Iterable[str]) -> str | None:
        """The `Authorization` for requests within `scopes`; None for anonymous access.

        Basic is sent before the registry asks, which saves a round trip for those that take it.
        """
        if not self._challenge:
            return self._basic()
        return await self._token(tuple(sorted(scopes)))

    async def renewed(self, refusal: Answer, scopes: Iterable[str], sent: str | None) -> str | None:
        """What to send instead, after `sent` was refused with 401; None when there is nothing else."""
        scheme, _, rest = refusal.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        challenge = {key.lower(): quoted or plain for key, quoted, plain in _PARAMETER.findall(rest)}
        if not challenge.get("realm"):
            raise refusal.bad("asks for a token and does not say from where")
        key = tuple(sorted(scopes))
        self._challenge = challenge
        if sent is not None and sent == f"Bearer {self._tokens.get(key, ('', 0.0))[0]}":
            del self._tokens[key]
        value = await self._token(key)
        return None if value == sent else value

    def _basic(self) -> str | None:
        login = self._login()
        if login is None:
            return None
        return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"

    async def _token(self, scopes: tuple[str, ...]) -> str:
        async with self._lock:  # many blobs of one repository need one token
            known = self._tokens.get(scopes)
            if known is None or known[1] <= anyio.current_time():
                known = await self._fetch(scopes)
                self._tokens[scopes] = known
            return f"Bearer {known[0]}"

    async def _fetch(self, scopes: tuple[str, ...]) -> tuple[str, float]:
        realm = self._challenge["realm"]
        try:
            parts = urlsplit(realm)
            client = self._connect(self._vendor, urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")))
        except (UsageError, ValueError) as error:
            raise BadAnswer(
                f"{self._vendor} wants its tokens fetched from {safe_address(realm)}, which is not safe.",
                vendor=self._vendor,
            ) from error
        basic = self._basic()
        asked = anyio.current_time()
        answer = await client.request(
            "GET",
            f"?{parts.query}" if parts.query else "",
            params={"service": self._challenge.get("service"), "scope": list(scopes)},
            headers={"authorization": basic} if basic else {},
        )
        body = answer.object()
        token = optional(body, "token", str) or field(body, "access_token", str)
        client.secrets.add(token)
        lifetime = optional(body, "expires_in", float) or DEFAULT_LIFETIME_S
        return token, asked + max(lifetime - MARGIN_S, lifetime / 2)
