"""Durations, windows, addresses: what they mean and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.config import duration_s
from liftlock.config.values import Mistake, endpoint, filled, looks_secret, template
from liftlock.config.windows import DAYS, window
from liftlock.model import Gates
from liftlock.naming import nearest
from liftlock.planning.gates import judge
from liftlock.planning.plan import Verdict


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("0s", 0), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_duration_in_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1.5h", "1h30m", "30 s", "30S", "30s\n", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Mistake, match="is not a duration"):
        duration_s(text)


def judged(text: str) -> Verdict:
    now = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)  # a Wednesday
    (verdict,) = judge(Gates(window=text), apps=(), drifted={}, now=now)
    return verdict


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("Mon-Thu 09:00-16:00 UTC", True),
        ("Wed 12:00-12:01 UTC", True),
        ("Mon-Tue 09:00-16:00 UTC", False),
        ("Sat-Wed 09:00-16:00 UTC", True),
        ("Tue 22:00-13:00 UTC", True),
        ("Fri 09:00-16:00 UTC; Wed 09:00-10:00 America/Santiago", True),
    ],
)
def test_window_means_to_the_gate_what_the_file_says(text: str, is_open: bool) -> None:
    assert judged(window(text)).passed is is_open


TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 25), st.integers(0, 61))
WINDOWS = st.builds(
    "{}{}{} {}-{} {}".format,
    st.sampled_from((*DAYS, "Thr", "mon", "")),
    st.sampled_from(("-", "-", "")),
    st.sampled_from((*DAYS, "")),
    TIMES,
    TIMES,
    st.sampled_from(("UTC", "America/Santiago", "Mars/Olympus", "")),
)


@settings(deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3).map("; ".join))
def test_gate_can_read_every_window_that_is_accepted(text: str) -> None:
    try:
        window(text)
    except Mistake:
        return
    judged(text)


@pytest.mark.parametrize(
    "address",
    [
        "https://api.github.com",
        "https://github.example.com/api/v3",
        "http://localhost:1",
        "http://127.1.2.3",
        "http://[::1]:80",
        "http://shop.localhost",
    ],
)
def test_endpoint_is_https_or_loopback(address: str) -> None:
    assert endpoint(address + "/") == address


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0:80",
        "ftp://example.com",
        "https://",
        "https://me:secret@example.com",
        "https://example.com?x=1",
        "https://example.com/a b",
        "https://[::1",
        "https://example.com:99999",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(Mistake):
        endpoint(address)


def test_placeholders_are_filled_and_nothing_else() -> None:
    names = {"env": "dev", "github": "development", "firebase": "d"}
    assert filled("{env}-{github}-{firebase} ${env} {{env}} {} {", names) == (
        "dev-development-d ${env} {{env}} {} {"
    )
    with pytest.raises(Mistake, match=r"no placeholder \{Env\}"):
        template("x-{Env}")


@pytest.mark.parametrize(
    "text",
    [
        f"github_pat_{'a' * 22}",
        f"ghs_{'a' * 36}",
        f"HRKU-{'a' * 36}",
        "https://hooks.slack.com/services/T0/B0/x",
        f"xoxb-{'1' * 12}",
        "-----BEGIN RSA PRIVATE KEY-----",
        "postgresql://a:b@c/d",
        "postgresql://c/d?user=a&password=b",
    ],
)
def test_credentials_are_told_by_their_form(text: str) -> None:
    assert looks_secret(f"prefix {text}")


@pytest.mark.parametrize(
    "text", ["postgresql://a@c/d", "https://c:8080/d", "env:TOKEN", "ghp_{env}", "key=value"]
)
def test_ordinary_values_are_no_credentials(text: str) -> None:
    assert not looks_secret(text)


def test_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("sso", ["SSO", "ODB"]) == "SSO"
    assert nearest("xyz", ["SSO", "ODB"]) == ""
