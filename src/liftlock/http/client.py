"""One vendor's shared client: connections, retries, waits, redirects, and errors that say what to do."""

from __future__ import annotations

import json as json_module
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import anyio
import httpx2

from liftlock import __version__
from liftlock.changes import may_begin
from liftlock.errors import AnswerLost, BadAnswer, Unreachable, VendorError
from liftlock.http.addresses import is_loopback, origin_of, refuse_unsafe
from liftlock.http.answers import Answer, Download, vendor_name
from liftlock.http.connections import Connections, open_connections
from liftlock.http.failures import failure
from liftlock.http.limits import Pause, is_limit, pause_for_limit, retry_after
from liftlock.http.pace import Pace
from liftlock.http.recent import ATTEMPTS, Attempt, know
from liftlock.http.redaction import redact, safe_address
from liftlock.http.waits import Waits
from liftlock.model import EMPTY
from liftlock.ports import WaitNotice

USER_AGENT = f"liftlock/{__version__} (+https://pypi.org/project/liftlock/)"
CONCURRENCY = 64
TRIES = 4
FIRST_BACKOFF_S = 0.1
CONNECT_S = 10.0
MAX_WAIT_S = 300.0
MAX_BODY = 10 * 1024 * 1024
MAX_REDIRECTS = 5

EXPECTED = (200, 201, 202, 204, 206)
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_SAFE = frozenset({"GET", "HEAD"})
_PASSING = frozenset({500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_KEPT_ACROSS_ORIGINS = frozenset({"accept", "accept-encoding", "range", "user-agent"})

Authorization = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class _Call:
    """One request as its caller wants it, whatever the number of attempts that it takes."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | AsyncIterable[bytes] | None
    expect: Collection[int]
    may_repeat: bool
    timeout_s: float
    with_credentials: bool = True


class Http:
    """One vendor's shared client.

    Repeats what is safe to repeat, waits visibly where the vendor asks for it, never sends a
    credential to another origin, and never lets a secret into an error. Every attempt has a time
    limit, and one that may change something asks for leave first (see `changes`). Must be closed
    with `aclose`.
    """

    def __init__(
        self,
        vendor: str,
        base: str,
        *,
        authorization: Authorization | None = None,
        headers: Mapping[str, str] = EMPTY,
        concurrency: int = CONCURRENCY,
        timeout_s: float = 30.0,
        on_wait: WaitNotice | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        pace: Pace | None = None,
        trusted: Collection[str] = (),
        secrets: set[str] | None = None,
        max_wait_s: float = MAX_WAIT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`trusted` are further origins of this vendor that may see the credential (upload hosts).

        `secrets` is kept, not copied: texts in it never show in errors. `max_wait_s` is how long a
        request may wait for limits in all; `now` is the wall clock in epoch seconds.
        Raises `UsageError` for plain http to anything but loopback.
        """
        self.vendor = vendor
        self.base = base.rstrip("/")
        self.concurrency = concurrency
        self.secrets = secrets if secrets is not None else set()
        know(self.secrets)
        refuse_unsafe(vendor, self.base)
        self._origin = origin_of(self.base)
        self._trusted = {self._origin, *map(origin_of, trusted)}
        self._authorization = authorization
        self._headers = {"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate"}
        self._headers.update((name.lower(), value) for name, value in headers.items())
        self._timeout_s = timeout_s
        self._waits = Waits(vendor, pace, on_wait, max_wait_s)
        self._now = now
        self._slots = anyio.Semaphore(concurrency, fast_acquire=True)
        self._last_authorization: str | None = None
        self._transport = transport
        self._connections: Connections | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = ...,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = EXPECTED,
        repeat: bool | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send a request and read its whole answer (at most 10 MiB).

        `path` is appended to the base; an absolute address on the vendor's own origins is taken as
        it is. `repeat` says whether it may be sent again after it may have been applied; None
        means GET, HEAD, PUT and DELETE may. Raises the branch of `VendorError` that fits.
        """
        call = self._call(method, path, params, json, content, headers, expect, repeat, timeout_s)
        answer, _ = await self._exchange(call, keep_open=False)
        return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (200, 206),
        timeout_s: float | None = None,
    ) -> AsyncIterator[Download]:
        """Open a large download; `timeout_s` holds for its beginning and for each piece of it."""
        asked = {"accept-encoding": "identity", **(headers or {})}
        call = self._call(method, path, params, ..., None, asked, expect, None, timeout_s)
        answer, response = await self._exchange(call, keep_open=True)
        assert response is not None  # noqa: S101 - `keep_open` gives one
        try:
            yield Download(
                answer.status, answer.headers, answer.address, lambda: self._pieces(call, response)
            )
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._connections is not None:
            await self._connections.close()
            self._connections = None

    def clean(self, text: str) -> str:
        """`text` without the secrets that this client knows."""
        return redact(text, self.secrets)

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        content: bytes | AsyncIterable[bytes] | None,
        headers: Mapping[str, str] | None,
        expect: Collection[int],
        repeat: bool | None,
        timeout_s: float | None,
    ) -> _Call:
        url = self._url(method, path)
        if params:
            given = {key: value for key, value in params.items() if value is not None}
            url += ("&" if "?" in url else "?") + urlencode(given, doseq=True, quote_via=quote)
        sent = self._headers
        if headers:
            sent = {**sent, **{name.lower(): value for name, value in headers.items()}}
        if json is not ...:
            content = json_module.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()
            sent = {"content-type": "application/json", **sent}
        replayable = content is None or isinstance(content, bytes)
        return _Call(
            method,
            url,
            sent,
            content,
            expect,
            replayable and (method in _REPEATABLE if repeat is None else repeat),
            self._timeout_s if timeout_s is None else timeout_s,
        )

    def _url(self, method: str, path: str) -> str:
        if not path or path[0] in "/?":
            return self.base + path
        if path.startswith(("http://", "https://")) and origin_of(path) in self._trusted:
            return path
        address = self.clean(safe_address(path))
        raise BadAnswer(
            f"{vendor_name(self.vendor)} pointed to another host: {address}; its own is {self._origin}.",
            vendor=self.vendor,
            method=method,
            address=address,
        )

    async def _exchange(self, call: _Call, *, keep_open: bool) -> tuple[Answer, httpx2.Response | None]:
        """Attempt `call` until it is answered as expected, or there is no sense in going on."""
        tries = 0
        limits = 0
        waited = 0.0
        while True:
            waited += await self._waits.turn(call.method, call.url)
            if call.method not in _SAFE:
                await may_begin(call.timeout_s)
            try:
                answer, response = await self._attempt(call, keep_open)
            except (httpx2.TransportError, OSError) as error:
                tries += 1
                if tries >= TRIES or not self._may_try_again(call, error):
                    raise self._broken(call, error) from error
                await anyio.sleep(_backoff(tries))
                continue
            if answer.status in call.expect:
                return answer, response
            if is_limit(answer):
                pause = pause_for_limit(answer, limits, self._now())
                limits += 1
                self._waits.pause(pause, waited, answer)
                if isinstance(call.content, AsyncIterable):  # it is spent: only its caller has another
                    raise self._waits.spent(pause, call.method, answer.address, answer.status)
                if pause.seconds < FIRST_BACKOFF_S:  # a server that says "0" must not be hammered
                    await anyio.sleep(_backoff(min(limits, 8)))
                continue
            tries += 1
            refusal = failure(answer)
            if not call.may_repeat:
                refusal.retryable = False
            if answer.status not in _PASSING or not call.may_repeat or tries >= TRIES:
                raise refusal
            asked = retry_after(answer, self._now())
            if asked is None:
                await anyio.sleep(_backoff(tries))
            else:
                self._waits.pause(
                    Pause(asked, f"{vendor_name(self.vendor)} is not available"), waited, answer
                )

    async def _attempt(self, call: _Call, keep_open: bool) -> tuple[Answer, httpx2.Response | None]:
        """Send once, follow redirects of GET and HEAD, and read the answer."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._slots:
                begun, outcome = time.time(), "was given up"
                try:
                    with anyio.fail_after(call.timeout_s):
                        response = await self._open().send(await self._request(call))
                        open_end = keep_open and response.status_code in call.expect
                        content = b"" if open_end else await self._whole(call, response)
                    outcome = str(response.status_code)
                except Exception as error:
                    outcome = type(error).__name__
                    raise
                finally:
                    took = time.time() - begun
                    ATTEMPTS.append(Attempt(begun, self.vendor, call.method, call.url, outcome, took))
            answer = Answer(
                response.status_code,
                response.headers,
                content,
                vendor=self.vendor,
                method=call.method,
                url=call.url,
                clean=self.clean,
            )
            self._waits.heed(answer)
            moved = answer.status in _REDIRECTS and answer.status not in call.expect
            if not moved or call.method not in _SAFE or "location" not in answer.headers:
                return answer, response if open_end else None
            call = self._redirected(call, answer)
        raise answer.bad(f"redirects more than {MAX_REDIRECTS} times")

    def _open(self) -> Connections:
        if self._connections is None:
            self._connections = open_connections(self.base, self.concurrency, self._transport)
        return self._connections

    async def _request(self, call: _Call) -> httpx2.Request:
        headers = call.headers
        if self._authorization is not None and call.with_credentials and "authorization" not in headers:
            value = await self._authorization()
            if value is not None:
                if value != self._last_authorization:
                    self._last_authorization = value
                    self.secrets.add(value.partition(" ")[2] or value)
                headers = {**headers, "authorization": value}
        try:
            return httpx2.Request(
                call.method,
                _parsed(call.url),
                headers=headers,
                content=call.content,
                extensions={
                    "timeout": {
                        "connect": min(CONNECT_S, call.timeout_s),
                        "read": call.timeout_s,
                        "write": call.timeout_s,
                        "pool": None,
                    }
                },
            )
        except httpx2.InvalidURL as error:
            address = self.clean(safe_address(call.url))
            what = f"{address} is not an address: {error}."
            raise BadAnswer(
                what,
                vendor=self.vendor,
                method=call.method,
                address=address,
            ) from error

    async def _whole(self, call: _Call, response: httpx2.Response) -> bytes:
        size = 0
        pieces = []
        try:
            async with aclosing(response.aiter_bytes()) as body:
                async for piece in body:
                    size += len(piece)
                    if size > MAX_BODY:
                        raise self._bad(call, response, f"is larger than {MAX_BODY // 1024 // 1024} MiB")
                    pieces.append(piece)
        except BaseException as error:
            with anyio.CancelScope(shield=True):  # what was read to its end has closed itself
                await response.aclose()
            if isinstance(error, httpx2.DecodingError):
                raise self._bad(call, response, "is compressed wrongly") from error
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _pieces(self, call: _Call, response: httpx2.Response) -> AsyncIterator[bytes]:
        # A transport that runs in-process may have read the body already.
        body = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        raw = aiter(body)
        while True:
            try:
                with anyio.fail_after(call.timeout_s):
                    piece = await anext(raw, None)
            except (httpx2.TransportError, OSError) as error:
                raise self._broken(call, error) from error
            if piece is None:
                return
            yield piece

    def _redirected(self, call: _Call, answer: Answer) -> _Call:
        location = answer.headers["location"]
        try:
            url = urljoin(call.url, location)
        except ValueError:
            url = location
        origin = origin_of(url)
        near = is_loopback(url) and is_loopback(call.url)
        if not (origin.startswith("https://") or (near and origin.startswith("http://"))):
            raise answer.bad(f"redirects to {safe_address(url)}, which is not safe to follow")
        if origin == origin_of(call.url):
            return replace(call, url=url)
        kept = {name: value for name, value in call.headers.items() if name in _KEPT_ACROSS_ORIGINS}
        return replace(call, url=url, headers=kept, with_credentials=False)

    def _may_try_again(self, call: _Call, error: Exception) -> bool:
        if isinstance(call.content, AsyncIterable):
            return False
        return call.may_repeat or isinstance(error, _NOT_SENT)

    def _broken(self, call: _Call, error: Exception) -> VendorError:
        """The error for a conversation that broke off before an answer was read."""
        address = self.clean(safe_address(call.url))
        name = vendor_name(self.vendor)
        if isinstance(error, TimeoutError):
            why = f"no answer within {round(call.timeout_s, 2):g} s"
        else:
            why = self.clean(str(error)) or type(error).__name__
        if isinstance(error, _NOT_SENT) or call.method in _SAFE:
            return Unreachable(
                f"{name} cannot be reached: {why} ({call.method} {address}).",
                vendor=self.vendor,
                method=call.method,
                address=address,
                hint="Check the network and the address, and try again.",
            )
        return AnswerLost(
            f"{name}'s answer was lost: {why} ({call.method} {address}). It may have been applied or not.",
            vendor=self.vendor,
            method=call.method,
            address=address,
            hint="Look at what the vendor shows before you repeat it.",
        )

    def _bad(self, call: _Call, response: httpx2.Response, what: str) -> BadAnswer:
        answer = Answer(
            response.status_code,
            response.headers,
            b"",
            vendor=self.vendor,
            method=call.method,
            url=call.url,
            clean=self.clean,
        )
        return answer.bad(what)


@lru_cache(maxsize=512)
def _parsed(url: str) -> httpx2.URL:
    """Polling asks for one address often, and taking it apart costs as much as sending it."""
    return httpx2.URL(url)


def _backoff(tries: int) -> float:
    return FIRST_BACKOFF_S * 2.0 ** (tries - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
