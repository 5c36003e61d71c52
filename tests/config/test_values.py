"""Durations, windows, addresses: what they mean and what is refused."""

from __future__ import annotations

import pytest

from liftlock.config import duration_s
from liftlock.config.values import Mistake, endpoint, filled, looks_secret, nearest, template
from liftlock.config.windows import Window, windows


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("0s", 0), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_duration_in_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1.5h", "1h30m", "30 s", "30S", "30s\n", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Mistake, match="is not a duration"):
        duration_s(text)


def test_windows_mean_days_and_minutes() -> None:
    assert windows("Mon-Thu 09:00-16:00 America/Santiago; Fri,Sun 00:00-24:00 UTC") == (
        Window(frozenset({0, 1, 2, 3}), 540, 960, "America/Santiago"),
        Window(frozenset({4, 6}), 0, 1440, "UTC"),
    )


def test_days_may_go_round_the_week() -> None:
    assert windows("Sat-Mon 10:00-11:30 UTC")[0].days == {5, 6, 0}


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
