"""How a registry is told who we are: Basic from the first request on, or a token that it asks for.

Source: CNCF Distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

import anyio

from liftlock.docker_logins import IDENTITY_TOKEN, Account
from liftlock.errors import BadAnswer, Unauthorized, UsageError
from liftlock.http import Answer, Http, field, optional, safe_address
from liftlock.http.addresses import is_loopback

Login = Callable[[], Awaitable[Account | None]]
"""The registry's account. It may run a program, and is asked for as seldom as need be."""
CLIENT_ID = "liftlock"
Connect = Callable[[str, str], Http]
"""(vendor, base) -> a client without credentials, for a registry's token service."""

DEFAULT_LIFETIME_S = 60.0
MARGIN_S = 10.0
ASK_AGAIN_S = 60.0
"""An account that is refused so long after it was asked for has run out, and is asked for anew: passwords that
helpers give last an hour at Google, and twelve at Amazon. Sooner, it is wrong."""

_PARAMETER = re.compile(r'([a-zA-Z]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


class Authentication:
    """One registry's login. Tokens are kept until shortly before they expire."""

    def __init__(self, vendor: str, login: Login, connect: Connect, *, is_local: bool = False) -> None:
        """`is_local`: the registry is on this machine, and so may be where it has tokens fetched from."""
        self._vendor = vendor
        self._is_local = is_local
        self._login = login
        self._connect = connect
        self._challenge: dict[str, str] = {}
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}
        self._lock = anyio.Lock()
        self._asking = anyio.Lock()
        self._account: list[Account | None] = []
        """What `login` said, once it was asked."""
        self._asked_at = 0.0

    async def header(self, scopes: Iterable[str]) -> str | None:
        """The `Authorization` for requests within `scopes`; None for anonymous access.

        Basic is sent before the registry asks, which saves a round trip for those that take it.
        """
        if not self._challenge:
            return await self._basic()
        return await self._token(tuple(sorted(scopes)))

    async def renewed(self, refusal: Answer, scopes: Iterable[str], sent: str | None) -> str | None:
        """What to send instead, after `sent` was refused with 401; None when there is nothing else."""
        scheme, _, rest = refusal.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() != "bearer":
            return await self._basic() if await self._has_run_out(sent) else None
        challenge = {key.lower(): quoted or plain for key, quoted, plain in _PARAMETER.findall(rest)}
        if not challenge.get("realm"):
            raise refusal.bad("asks for a token and does not say from where")
        key = tuple(sorted(scopes))
        self._challenge = challenge
        if sent is not None and sent == f"Bearer {self._tokens.get(key, ('', 0.0))[0]}":
            del self._tokens[key]
        value = await self._token(key)
        return None if value == sent else value

    async def _logged_in(self) -> Account | None:
        async with self._asking:
            if not self._account:
                await self._ask()
        return self._account[0]

    async def _ask(self) -> None:
        self._account = [await self._login()]
        self._asked_at = anyio.current_time()

    async def _has_run_out(self, sent: str | None) -> bool:
        """Whether there is another account by now than the one that was sent, and refused."""
        async with self._asking:
            if self._account and anyio.current_time() - self._asked_at >= ASK_AGAIN_S:
                await self._ask()
            return bool(self._account) and _written(self._account[0]) != sent

    async def _basic(self) -> str | None:
        return _basic_of(await self._logged_in())

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
            if is_loopback(realm) and not self._is_local:
                raise UsageError("a registry elsewhere has no say over this machine")
            client = self._connect(self._vendor, urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")))
        except (UsageError, ValueError) as error:
            raise BadAnswer(
                f"{self._vendor} wants its tokens fetched from {safe_address(realm)}, which is not safe.",
                vendor=self._vendor,
            ) from error
        asked = anyio.current_time()
        query = f"?{parts.query}" if parts.query else ""
        login = await self._logged_in()
        try:
            answer = await self._asked(client, query, login, scopes)
        except Unauthorized:
            if not await self._has_run_out(_written(login)):
                raise
            answer = await self._asked(client, query, await self._logged_in(), scopes)
        body = answer.object()
        token = optional(body, "token", str) or field(body, "access_token", str)
        if not token.isascii() or not token.isprintable() or " " in token:
            # Refused here: the HTTP library would quote it in its error.
            raise answer.bad("gives a token that holds what no token has")
        client.secrets.add(token)
        lifetime = optional(body, "expires_in", float) or DEFAULT_LIFETIME_S
        return token, asked + max(lifetime - MARGIN_S, lifetime / 2)

    async def _asked(
        self, client: Http, query: str, login: Account | None, scopes: tuple[str, ...]
    ) -> Answer:
        """The token service's answer to an account, or to a stranger."""
        if login is not None and login[0] == IDENTITY_TOKEN:
            return await self._exchanged(client, query, login[1], scopes)
        basic = _basic_of(login)
        return await client.request(
            "GET",
            query,
            params={"service": self._challenge.get("service"), "scope": list(scopes)},
            headers={"authorization": basic} if basic else {},
        )

    async def _exchanged(self, client: Http, query: str, identity: str, scopes: tuple[str, ...]) -> Answer:
        """The answer to a refresh token. Source: CNCF Distribution, "Oauth2 Token Authentication"."""
        client.secrets.update((identity, quote_plus(identity)))
        form = {
            "grant_type": "refresh_token",
            "service": self._challenge.get("service", ""),
            "client_id": CLIENT_ID,
            "scope": " ".join(scopes),
            "refresh_token": identity,
        }
        return await client.request(
            "POST",
            query,
            content=urlencode(form).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
            repeat=True,
        )


def _basic_of(login: Account | None) -> str | None:
    return None if login is None or login[0] == IDENTITY_TOKEN else _written(login)


def _written(login: Account | None) -> str | None:
    """An account as Basic writes it, whatever way it is used."""
    return None if login is None else f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
