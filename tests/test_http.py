"""The shared client: what it repeats, what it never repeats, and how it says what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.changes import guarded
from liftlock.errors import (
    AnswerLost,
    BadAnswer,
    Conflict,
    LeaseLost,
    NotFound,
    Unauthorized,
    Unreachable,
    UsageError,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.http import Http, field, optional

pytestmark = pytest.mark.anyio

BASE = "https://api.example.com"
Reply = httpx2.Response | Exception


class Server:
    """Answers one reply after the other, the last one for ever, and keeps the requests."""

    def __init__(self, *replies: Reply | Callable[[httpx2.Request], Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx2.Request] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply = reply(request)
        if isinstance(reply, Exception):
            raise reply
        return reply


def json_reply(value: Any, status: int = 200, **headers: str) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(
        status, json=value, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def raw_reply(status: int, content: bytes) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(status, content=content)


def client(server: Server, vendor: str = "heroku", base: str = BASE, **options: Any) -> Http:
    return Http(vendor, base, transport=httpx2.MockTransport(server), **options)


def bearer(token: str) -> Callable[[], Any]:
    async def authorization() -> str:
        return f"Bearer {token}"

    return authorization


@pytest.fixture(autouse=True)
def _without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liftlock.http.client.FIRST_BACKOFF_S", 0.001)


async def test_a_request_carries_credential_version_and_query() -> None:
    server = Server(json_reply({"id": 1}))
    http = client(server, authorization=bearer("t0ken-value"), headers={"Accept": "application/vnd.x"})
    answer = await http.request("GET", "/apps/a", params={"task": "deploy:SSO", "none": None, "n": 3})
    sent = server.requests[0]
    assert answer.object() == {"id": 1}
    assert str(sent.url) == "https://api.example.com/apps/a?task=deploy%3ASSO&n=3"
    assert sent.headers["authorization"] == "Bearer t0ken-value"
    assert sent.headers["accept"] == "application/vnd.x"
    assert sent.headers["user-agent"].startswith("liftlock/")
    assert "(+" in sent.headers["user-agent"]


async def test_a_body_is_sent_as_json_and_an_empty_post_says_so() -> None:
    server = Server(json_reply({}, 201))
    http = client(server)
    await http.request("POST", "/x", json={"name": "é"})
    await http.request("POST", "/x")
    assert server.requests[0].content == '{"name":"é"}'.encode()
    assert server.requests[0].headers["content-type"] == "application/json"
    assert server.requests[1].headers["content-length"] == "0"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_repeatable_request_is_tried_four_times(status: int) -> None:
    server = Server(json_reply({"id": "oops", "message": "broken"}, status))
    with pytest.raises(VendorFailure) as caught:
        await client(server).request("GET", "/apps/a")
    assert len(server.requests) == 4
    assert caught.value.message == (
        f"Heroku failed at GET https://api.example.com/apps/a: {status} oops broken"
    )
    assert caught.value.retryable


async def test_a_repeatable_request_gets_over_a_passing_failure() -> None:
    server = Server(
        json_reply({}, 503), httpx2.ReadError("reset"), httpx2.ReadTimeout("slow"), json_reply({"id": 7})
    )
    answer = await client(server).request("DELETE", "/apps/a")
    assert answer.object() == {"id": 7}


async def test_a_post_is_never_repeated_after_it_may_have_been_applied() -> None:
    for lost in (httpx2.ReadError("reset"), httpx2.ReadTimeout(""), httpx2.RemoteProtocolError("cut")):
        server = Server(lost)
        with pytest.raises(AnswerLost) as caught:
            await client(server).request("POST", "/apps/a/releases", json={})
        assert len(server.requests) == 1
        assert "POST https://api.example.com/apps/a/releases" in caught.value.message
        assert not caught.value.retryable
    server = Server(json_reply({}, 502))
    with pytest.raises(VendorFailure) as failed:
        await client(server).request("POST", "/apps/a/releases", json={})
    assert len(server.requests) == 1
    assert not failed.value.retryable


async def test_a_post_that_was_surely_not_sent_is_repeated() -> None:
    server = Server(httpx2.ConnectError("refused"), httpx2.ConnectTimeout(""), json_reply({}, 201))
    assert (await client(server).request("POST", "/x", json={})).status == 201
    assert len(server.requests) == 3


async def test_a_post_may_be_declared_repeatable() -> None:
    server = Server(httpx2.ReadError("reset"), json_reply({}, 201))
    assert (await client(server).request("POST", "/x", json={}, repeat=True)).status == 201


@pytest.mark.promise("P3")
@pytest.mark.parametrize("left", [0, 1, 2])
async def test_every_attempt_to_change_something_asks_for_leave(left: int) -> None:
    """The lease may be lost between two attempts of one request."""
    asked: list[float] = []

    async def leave(lasts_s: float) -> None:
        asked.append(lasts_s)
        if len(asked) > left:
            raise LeaseLost("it was broken")

    server = Server(json_reply({}, 503))
    http = client(server)
    with guarded(leave):
        with pytest.raises(VendorFailure):
            await http.request("GET", "/apps")
        assert asked == []
        reads = len(server.requests)
        with pytest.raises(LeaseLost):
            await http.request("PATCH", "/apps/a/formation", json={}, repeat=True, timeout_s=7.0)
    assert asked == [7.0] * (left + 1)
    assert len(server.requests) - reads == left
    with pytest.raises(VendorFailure):
        await http.request("PATCH", "/apps/a/formation", json={}, repeat=True)


async def test_a_streamed_body_is_never_repeated() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    server = Server(json_reply({}, 503))
    with pytest.raises(VendorFailure):
        await client(server).request("PUT", "/x", content=body())
    assert len(server.requests) == 1


async def test_nobody_there_is_unreachable_and_a_lost_put_is_lost() -> None:
    with pytest.raises(Unreachable, match=r"Heroku cannot be reached: refused \(GET"):
        await client(Server(httpx2.ConnectError("refused"))).request("GET", "/x")
    with pytest.raises(Unreachable):
        await client(Server(httpx2.ReadError("reset"))).request("GET", "/x")
    with pytest.raises(AnswerLost):
        await client(Server(httpx2.ReadError("reset"))).request("PUT", "/x", content=b"")


async def test_an_answer_that_never_comes_ends_in_time() -> None:
    async def silent(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    http = Http("heroku", BASE, transport=httpx2.MockTransport(silent))
    with pytest.raises(AnswerLost, match=r"no answer within 0\.01 s"):
        await http.request("POST", "/x", timeout_s=0.01)
    with pytest.raises(Unreachable, match=r"no answer within 0\.01 s"):
        await http.request("GET", "/x", timeout_s=0.01)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, VendorRefusal),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (406, VendorRefusal),
        (409, Conflict),
        (410, NotFound),
        (416, VendorRefusal),
        (422, Conflict),
        (302, BadAnswer),
        (500, VendorFailure),
        (501, VendorFailure),
        (503, VendorFailure),
    ],
)
async def test_every_status_has_its_error(status: int, kind: type[VendorError]) -> None:
    server = Server(json_reply({"id": "code", "message": "why"}, status))
    with pytest.raises(kind) as caught:
        await client(server).request("POST", "/x")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.method, error.vendor) == (status, "code", "POST", "heroku")
    assert "why" in error.message
    assert error.address == "https://api.example.com/x"


@pytest.mark.parametrize(
    ("body", "told", "code"),
    [
        (
            {"id": "not_found", "message": "Couldn't find that app.", "url": "…"},
            "Couldn't find that app.",
            "not_found",
        ),
        ({"message": "Reference already exists", "documentation_url": "…"}, "Reference already exists", ""),
        (
            {
                "message": "Validation Failed",
                "errors": [{"resource": "Deployment", "field": "ref", "code": "invalid"}],
            },
            "Validation Failed (Deployment ref invalid)",
            "",
        ),
        ({"message": "Validation Failed", "errors": ["text"]}, "Validation Failed (text)", ""),
        ({"error": {"code": 404, "message": "No site.", "status": "NOT_FOUND"}}, "No site.", "NOT_FOUND"),
        ({"error": "invalid_grant", "error_description": "Bad key."}, "Bad key.", "invalid_grant"),
        ({"errors": [{"code": "DENIED", "message": "no access"}]}, "no access", "DENIED"),
        ({"message": None, "errors": None}, "", ""),
        ([1, 2], "[1,2]", ""),
    ],
)
async def test_the_vendors_own_words_are_passed_on(body: Any, told: str, code: str) -> None:
    with pytest.raises(VendorRefusal) as caught:
        await client(Server(json_reply(body, 400))).request("GET", "/x")
    assert caught.value.message.endswith(f": {' '.join(filter(None, ('400', code, told)))}")
    assert caught.value.code == code


async def test_html_instead_of_json_is_quoted_in_short() -> None:
    page = b"<html>\n<body>" + b"gateway " * 100
    server = Server(lambda _: httpx2.Response(200, content=page))
    answer = await client(server).request("GET", "/x")
    with pytest.raises(BadAnswer) as caught:
        answer.object()
    assert "is not JSON: '<html> <body>gateway" in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe{}", b'{"a":"\xc3("}', b"[" * 200_000, b'{"a":', b"null", b"3", b'"text"'],
    ids=["empty", "utf-16", "bad-utf-8", "deep", "cut", "null", "number", "string"],
)
async def test_what_is_no_object_is_a_bad_answer(content: bytes) -> None:
    answer = await client(Server(lambda _: httpx2.Response(200, content=content))).request("GET", "/x")
    with pytest.raises(BadAnswer):
        answer.object()
    with pytest.raises(BadAnswer):
        answer.array() if content != b"[" * 200_000 else answer.object()


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}])
async def test_a_body_without_end_is_cut_off(headers: dict[str, str]) -> None:
    import gzip

    body = b"x" * (11 * 1024 * 1024)
    sent = gzip.compress(body) if headers else body
    server = Server(lambda _: httpx2.Response(200, content=sent, headers=headers))
    with pytest.raises(BadAnswer, match="larger than 10 MiB"):
        await client(server).request("GET", "/x")


async def test_a_field_of_the_wrong_shape_names_vendor_request_and_path() -> None:
    server = Server(json_reply({"release": {"version": {"name": 3}}, "n": 1, "b": True, "none": None}))
    body = (await client(server, vendor="firebase").request("GET", "/sites/a")).object()
    assert field(body, "n", int) == 1
    assert field(body, "n", float) == 1.0
    assert field(body["release"], "version", dict) == {"name": 3}
    assert optional(body, "none", str) is None
    assert optional(body, "none.below", str) is None
    assert optional(body, "release.absent.below", str) is None
    with pytest.raises(BadAnswer) as caught:
        field(body, "release.version.name", str)
    assert caught.value.message == (
        "The answer of Firebase to GET https://api.example.com/sites/a (200) "
        "has an integer as 'release.version.name' where a string was expected."
    )
    for path, kind in (("absent", str), ("b", int), ("n", bool), ("n.below", str), ("none", str)):
        with pytest.raises(BadAnswer):
            field(body, path, kind)


async def test_a_get_follows_redirects_without_the_credential_to_another_host() -> None:
    server = Server(
        lambda _: httpx2.Response(301, headers={"location": "/moved?page=2"}),
        lambda _: httpx2.Response(302, headers={"location": "https://cdn.example.net/file?token=abc"}),
        json_reply({"ok": True}),
    )
    http = client(server, authorization=bearer("t0ken-value"), headers={"X-Secret": "s"})
    await http.request("GET", "/x", headers={"cookie": "c"})
    same, other = server.requests[1:]
    assert str(same.url) == "https://api.example.com/moved?page=2"
    assert same.headers["authorization"] == "Bearer t0ken-value"
    assert other.url.host == "cdn.example.net"
    assert not {"authorization", "x-secret", "cookie"} & set(other.headers)


async def test_a_post_is_not_sent_after_a_redirect() -> None:
    server = Server(lambda _: httpx2.Response(307, headers={"location": "/elsewhere"}))
    with pytest.raises(BadAnswer):
        await client(server).request("POST", "/x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "location",
    ["http://cdn.example.net/x", "http://127.0.0.1/x", "ftp://example.net/x", "file:///etc/passwd"],
)
async def test_an_unsafe_redirect_is_refused(location: str) -> None:
    server = Server(lambda _: httpx2.Response(302, headers={"location": location}))
    with pytest.raises(BadAnswer, match="not safe to follow"):
        await client(server).request("GET", "/x")


async def test_redirects_do_not_go_round_for_ever() -> None:
    server = Server(lambda _: httpx2.Response(302, headers={"location": "/x"}))
    with pytest.raises(BadAnswer, match="redirects more than 5 times"):
        await client(server).request("GET", "/x")


@pytest.mark.parametrize(
    "address",
    [
        "https://api.example.com.evil.net/x",
        "https://evil.net/x",
        "http://api.example.com/x",
        "https://api.example.com@evil.net/x",
        "@evil.net/x",
    ],
)
async def test_a_link_to_another_host_is_never_called(address: str) -> None:
    server = Server(json_reply({}))
    with pytest.raises(BadAnswer, match="another host"):
        await client(server).request("GET", address)
    assert server.requests == []


async def test_a_link_to_the_vendors_own_hosts_is_taken_as_it_is() -> None:
    server = Server(json_reply({}))
    http = client(server, authorization=bearer("t0ken-value"), trusted=["https://upload.example.org"])
    await http.request("GET", "https://api.example.com/x?page=2")
    await http.request("POST", "https://upload.example.org/a/hash", content=b"1")
    assert [str(r.url) for r in server.requests] == [
        "https://api.example.com/x?page=2",
        "https://upload.example.org/a/hash",
    ]
    assert all("authorization" in r.headers for r in server.requests)


@pytest.mark.parametrize(
    "base", ["http://api.example.com", "http://localhost.evil.net", "http://128.0.0.1", "ftp://x"]
)
def test_plain_http_is_refused_except_to_this_machine(base: str) -> None:
    with pytest.raises(UsageError):
        Http("heroku", base)


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:80",
        "http://localhost:1",
        "http://[::1]:1",
        "http://app.localhost",
        "https://x.example",
    ],
)
def test_https_and_this_machine_are_allowed(base: str) -> None:
    assert Http("heroku", base).base == base


def test_a_password_in_an_address_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Http("heroku", "https://user:hunter22@example.com")
    assert "hunter22" not in caught.value.message


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"message": "bad token t0ken-value"}, 401),
        lambda _: httpx2.Response(200, content=b"<p>t0ken-value Bearer abcdefgh"),
        lambda r: httpx2.ConnectError(f"cannot send {r.headers['authorization']}"),
        lambda _: httpx2.Response(302, headers={"location": "http://x.example/?a=t0ken-value"}),
        json_reply({"message": "https://hooks.slack.com/services/T0/B0/XYZ failed"}, 500),
    ],
)
async def test_no_error_shows_a_secret(reply: Any) -> None:
    http = client(Server(reply), authorization=bearer("t0ken-value"))
    with pytest.raises(VendorError) as caught:
        (await http.request("GET", "/x", params={"token": "q-secret", "page": 2})).object()
    seen: list[str] = []
    error: BaseException | None = caught.value
    assert isinstance(error, VendorError)
    seen += [error.message, error.hint, error.address, str(error)]
    for text in seen:
        assert not any(secret in text for secret in ("t0ken-value", "q-secret", "abcdefgh", "XYZ"))
    assert "page=2" in error.address


@pytest.mark.promise("P7")
@pytest.mark.parametrize("status", [200, 400])
async def test_a_secret_on_the_edge_of_an_excerpt_is_not_cut_in_half(status: int) -> None:
    secret = "hunter" * 4
    for size in range(60, 320, 3):
        for content in (
            b"x" * size + secret.encode(),
            b'{"message":"' + b"x" * size + secret.encode() + b'"}',
        ):
            server = Server(raw_reply(status, content + b"}"))
            http = client(server, secrets={secret})
            with pytest.raises(VendorError) as caught:
                (await http.request("GET", "/x")).object()
            assert "hunt" not in caught.value.message


async def test_a_webhooks_address_is_never_shown() -> None:
    secret = "https://hooks.example.com/hook/abcdef"
    http = client(Server(json_reply({}, 404)), vendor="slack", base=secret, secrets={secret})
    with pytest.raises(NotFound) as caught:
        await http.request("POST", "", json={})
    assert "abcdef" not in caught.value.message + caught.value.address


async def test_a_download_is_read_in_pieces_as_it_was_sent() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    server = Server(json_reply({}, 503), lambda _: httpx2.Response(200, content=body()))
    async with client(server).stream("GET", "/file") as download:
        assert sum([len(piece) async for piece in download.chunks()]) == 3000
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_download_that_breaks_off_is_unreachable() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise httpx2.ReadError("cut")

    async with client(Server(lambda _: httpx2.Response(200, content=body()))).stream(
        "GET", "/file"
    ) as download:
        with pytest.raises(Unreachable, match="cut"):
            _ = [piece async for piece in download.chunks()]


async def test_a_refused_download_says_why() -> None:
    with pytest.raises(NotFound, match="no such file"):
        async with client(Server(json_reply({"message": "no such file"}, 404))).stream("GET", "/file"):
            pass


async def test_requests_share_connections_and_are_closed() -> None:
    connections: list[int] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        connections.append(1)
        async with stream:
            seen = b""
            while True:
                try:
                    seen += await stream.receive()
                except anyio.EndOfStream:
                    return
                while b"\r\n\r\n" in seen:
                    seen = seen.partition(b"\r\n\r\n")[2]
                    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        http = Http("heroku", f"http://127.0.0.1:{port}", concurrency=4)

        async def ask() -> None:
            assert (await http.request("GET", "/x")).object() == {}

        async with anyio.create_task_group() as asking:
            for _ in range(40):
                asking.start_soon(ask)
        assert len(connections) <= 4
        await http.aclose()
        tasks.cancel_scope.cancel()


def _every_http_error() -> list[type[Exception]]:
    found: list[type[Exception]] = []
    waiting: list[type[Exception]] = [httpx2.TransportError, OSError]
    while waiting:
        kind = waiting.pop()
        waiting += [one for one in kind.__subclasses__() if one.__module__.startswith(("httpx2", "builtins"))]
        found.append(kind)
    return found


@pytest.mark.parametrize("kind", _every_http_error(), ids=lambda kind: kind.__name__)
async def test_no_error_of_the_network_is_left_as_it_is(kind: type[Exception]) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(VendorError) as caught:
            await client(Server(kind("why"))).request(method, "/x")
        assert caught.value.__cause__ is not None
        assert caught.value.hint
