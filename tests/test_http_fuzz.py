"""Whatever a vendor answers, it ends in a value or in one of our errors, never in a traceback."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import BadAnswer, LiftlockError, UsageError, VendorError
from liftlock.http import Http, field, optional, redact, safe_address
from liftlock.http.addresses import is_loopback, origin_of
from liftlock.http.failures import failure
from liftlock.registry.manifests import ACCEPT, Index, Manifest, WrongManifest, as_schema2, parse

HOSTS = st.sampled_from(
    ["x.example", "127.0.0.1", "[", "[::1]", "x:99999", "x:y", "u:p@x", "", "xn--", "\x00", "ä"]
)
ADDRESSES = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}://{}/{}".format, st.sampled_from(["http", "https", "ftp", ""]), HOSTS, st.text(max_size=10)
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DESCRIPTORS = st.fixed_dictionaries(
    {},
    optional={
        "digest": st.sampled_from([f"sha256:{'0' * 64}", "sha256:1", 3]),
        "size": st.sampled_from([0, 5, -1, "5", None, 2.0, True]),
        "mediaType": st.sampled_from(["application/vnd.docker.container.image.v1+json", "x/y", None, 3]),
        "platform": st.sampled_from([{"os": "linux", "architecture": "amd64"}, {}, [], None]),
    },
)
MANIFESTS = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([*ACCEPT.split(", "), 3]),
        "config": DESCRIPTORS | VALUES,
        "layers": st.lists(DESCRIPTORS | VALUES, max_size=3) | VALUES,
        "manifests": st.lists(DESCRIPTORS | VALUES, max_size=3) | VALUES,
    },
)


def told(error: LiftlockError, part: str = "") -> None:
    assert error.message
    assert part in error.message


def ask(reply: httpx2.Response, method: str = "GET", vendor: str = "github", path: str = "/x") -> Any:
    """One conversation; a wait for a limit costs no time."""

    async def story() -> Any:
        http = Http(
            vendor, "https://api.example.com", transport=httpx2.MockTransport(lambda _: reply), max_wait_s=0
        )
        return await http.request(method, path, repeat=False)

    return trio.run(story)


@given(
    status=st.integers(200, 599),
    content=st.binary(max_size=60) | VALUES.map(lambda v: json.dumps(v).encode()),
)
def test_any_status_and_body(status: int, content: bytes) -> None:
    try:
        answer = ask(httpx2.Response(status, content=content))
    except VendorError as error:
        told(error)
        return
    for read in (answer.object, answer.array):
        try:
            read()
        except BadAnswer as error:
            told(error, "GET https://api.example.com/x")


@given(body=VALUES)
def test_any_error_body(body: Any) -> None:
    from liftlock.http import Answer

    for shape in (body, {"error": body}, {"errors": [body]}, {"message": body, "errors": body, "id": body}):
        error = failure(
            Answer(422, {}, json.dumps(shape).encode(), vendor="github", method="POST", url="https://x")
        )
        assert error.message.startswith("GitHub refused POST https://x: 422")
        assert len(error.message) < 1000


@given(
    name=st.sampled_from(["retry-after", "x-ratelimit-reset", "ratelimit-remaining", "date", "location"]),
    value=st.text(max_size=20)
    | ADDRESSES
    | st.sampled_from(["²", "٣", "9" * 400, "-1", "1e9", "nan", "1.5.5"]),
    status=st.sampled_from([200, 302, 403, 429, 503]),
)
def test_any_header(name: str, value: str, status: int) -> None:
    headers = [(b"x-ratelimit-remaining", b"0"), (name.encode(), value.encode("utf-8", "replace"))]
    try:
        ask(httpx2.Response(status, headers=headers, content=b"{}"), vendor="github")
    except VendorError as error:
        told(error)


@given(address=ADDRESSES)
def test_any_address(address: str) -> None:
    safe_address(address)
    is_loopback(address)
    if origin_of(address) != "https://api.example.com" and address[:1] not in {"/", "?", ""}:
        with pytest.raises(BadAnswer):
            ask(httpx2.Response(200), path=address)
    try:
        Http("heroku", address)
    except UsageError as error:
        told(error)


@given(
    payload=st.dictionaries(st.sampled_from(["a", "b"]), VALUES), path=st.sampled_from(["a", "a.b", "a.b.a"])
)
def test_any_payload(payload: dict[str, Any], path: str) -> None:
    for kind in (str, int, float, bool, dict, list):
        for read in (field, optional):
            try:
                value = read(payload, path, kind)
            except BadAnswer:
                continue
            assert value is None or isinstance(value, kind)


@given(
    content=MANIFESTS.map(lambda m: json.dumps(m).encode()) | st.binary(max_size=30),
    kind=st.sampled_from([*ACCEPT.split(", "), ""]),
)
def test_any_manifest(content: bytes, kind: str) -> None:
    try:
        found = parse(content, kind)
    except WrongManifest as error:
        told(LiftlockError(str(error)))
        return
    assert isinstance(found, (Manifest, Index))
    if isinstance(found, Manifest):
        try:
            assert as_schema2(found).image_id == found.image_id
        except LiftlockError as error:
            told(error)


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=12),
    before=st.text(max_size=9),
    after=st.text(max_size=9),
)
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    cleaned = redact(f"{before}{secret}{after}", [secret])
    assert secret not in cleaned or secret in "***" or "*" in secret
