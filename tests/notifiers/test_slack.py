"""What Slack is told, within its limits, and what is said when it does not listen."""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.errors import AnswerLost, BadAnswer, LiftlockError, UsageError, VendorFailure, VendorRefusal
from liftlock.http import Http
from liftlock.model import Backup
from liftlock.notifiers.slack import MAX_TEXT, Slack, escape, message, shortened
from liftlock.ports import Announcement, AppLine
from liftlock.sandbox import Cloud
from liftlock.sandbox import slack as slack_of_the_sandbox
from liftlock.sandbox.inprocess import InProcess
from liftlock.wording import duration, size

pytestmark = pytest.mark.anyio

WEBHOOK = "https://hooks.slack.com/services/T000/B000/very-secret"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ANNOUNCEMENT = Announcement(
    title="observatory: promotion dev → staging",
    outcome="succeeded",
    environment="staging",
    source="dev",
    who="owner",
    duration_s=72.4,
    lines=(
        AppLine("SSO", "release", "1" * 40, "https://github.com/example/services/compare/0...1"),
        AppLine("Explore", "record", "3" * 40),
    ),
    backups=(Backup("b042", "postgresql-curly-1", "SSO", "heroku", 1_234_567, NOW, NOW),),
    notes=("ITC is left behind: it was not selected",),
    url="https://api.github.com/repos/example/services/deployments/7",
)

Answering = Callable[[httpx2.Request], httpx2.Response]


def slack(answer: Answering, webhook: str = WEBHOOK) -> Slack:
    transport = httpx2.MockTransport(answer)
    return Slack(lambda: webhook, lambda vendor, base: Http(vendor, base, transport=transport))


class Channel:
    """Slack's side: what it was sent, and what it says."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers) or [(200, "ok")]
        self.sent: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        status, text = self.answers[min(len(self.sent), len(self.answers)) - 1]
        return httpx2.Response(status, text=text, headers={"retry-after": "0.05"} if status == 429 else {})


def texts(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


async def test_one_message_is_posted_to_the_webhook() -> None:
    channel = Channel()
    await slack(channel).announce(ANNOUNCEMENT)
    (request,) = channel.sent
    assert str(request.url) == WEBHOOK
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert json.loads(request.content) == message(ANNOUNCEMENT)


async def test_the_sandboxs_slack_takes_it() -> None:
    cloud = Cloud(modelled=True)
    async with cloud.running():
        transport = InProcess(cloud)
        webhook = "http://127.0.0.1:1/services/T/B/X"
        there = Slack(lambda: webhook, lambda vendor, base: Http(vendor, base, transport=transport))
        await there.announce(ANNOUNCEMENT)
        (row,) = slack_of_the_sandbox.observe(cloud)
    assert row["payload"] == message(ANNOUNCEMENT)


def test_the_message_is_whole() -> None:
    assert message(ANNOUNCEMENT) == {
        "text": "observatory: promotion dev → staging: succeeded\nSSO 1111111\nExplore 3333333",
        "blocks": [
            {
                "type": "header",
                "text": {
                    "type": "plain_text",
                    "text": "observatory: promotion dev → staging: succeeded",
                    "emoji": False,
                },
            },
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": "*dev → staging* · by owner · 72 s · "
                        "<https://api.github.com/repos/example/services/deployments/7|record>",
                    }
                ],
            },
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "• *SSO* release `1111111` "
                    "<https://github.com/example/services/compare/0...1|what changed>\n"
                    "• *Explore* record `3333333`",
                },
            },
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "*Backups*\n• SSO: `b042`, 1.2 MB",
                },
            },
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "*Notes*\n• ITC is left behind: it was not selected"},
            },
        ],
    }


def test_nothing_that_people_write_is_taken_for_markup() -> None:
    told = dataclasses.replace(
        ANNOUNCEMENT,
        notes=("<!channel> & <@U1>",),
        lines=(AppLine("<a>", "x&y", "1" * 40, "https://h/?a=1|2&b"),),
    )
    body = texts(message(told))
    assert "<!channel>" not in body
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in body
    assert "*&lt;a&gt;* x&amp;y" in body
    assert "<https://h/?a=1%7C2&amp;b|what changed>" in body


@pytest.mark.parametrize("apps", [64, 5000])
def test_the_largest_promotion_stays_within_slacks_limits(apps: int) -> None:
    lines = tuple(
        AppLine(f"app-{n}", "release", "1" * 40, "https://github.com/example/services/compare/" + "0" * 80)
        for n in range(apps)
    )
    told = dataclasses.replace(
        ANNOUNCEMENT, title="t" * 500, lines=lines, notes=("n" * 5000,), backups=ANNOUNCEMENT.backups * apps
    )
    body = message(told)
    assert len(body["text"]) <= MAX_TEXT
    assert len(body["blocks"]) <= 50
    for block in body["blocks"]:
        limit = 150 if block["type"] == "header" else MAX_TEXT
        for text in [block["text"]] if "text" in block else block["elements"]:
            assert 0 < len(text["text"]) <= limit
            assert text["text"].count("<") == text["text"].count(">")
    if apps == 5000:
        assert "more parts" in texts(body["blocks"][-1])


def test_a_text_is_not_cut_inside_an_escape_or_a_link() -> None:
    assert shortened("ab&amp;cd", 6) == "ab…"
    assert shortened("ab<https://x|y>cd", 10) == "ab…"
    assert shortened("ab&amp;cd", 9) == "ab&amp;cd"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((400, "invalid_payload"), VendorRefusal, "could not read the message"),
        ((403, "action_prohibited"), VendorRefusal, "a rule of the workspace forbids it"),
        ((404, "channel_not_found"), VendorRefusal, "channel that it writes to does not exist"),
        ((404, "no_service"), VendorRefusal, "webhook was removed"),
        ((410, "channel_is_archived"), VendorRefusal, "is archived"),
        ((500, "rollup_error"), VendorFailure, "Slack itself failed"),
        ((500, ""), VendorFailure, "gave no reason"),
        ((418, "teapot"), VendorRefusal, "'teapot'"),
        ((200, "<html>"), BadAnswer, "'<html>'"),
        ((204, ""), BadAnswer, "gave no reason"),
    ],
)
async def test_every_refusal_is_in_words(
    answer: tuple[int, str], kind: type[LiftlockError], words: str
) -> None:
    channel = Channel(answer)
    with pytest.raises(kind, match=words) as caught:
        await slack(channel).announce(ANNOUNCEMENT)
    assert len(channel.sent) == 1, "people must not be told twice"
    assert caught.value.hint
    assert "secret" not in shown(caught.value)


async def test_too_many_messages_get_one_try_more() -> None:
    channel = Channel((429, "rate_limited"), (200, "ok"))
    began = anyio.current_time()
    await slack(channel).announce(ANNOUNCEMENT)
    assert len(channel.sent) == 2
    assert anyio.current_time() - began >= 0.04


async def test_a_slack_that_stays_busy_is_left_alone() -> None:
    channel = Channel((429, "rate_limited"))
    with pytest.raises(VendorRefusal, match="too many messages"):
        await slack(channel).announce(ANNOUNCEMENT)
    assert len(channel.sent) == 2


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (httpx2.ConnectError("no route"), LiftlockError, "cannot be reached"),
        (httpx2.ReadError("reset"), AnswerLost, "may have shown the message or not"),
        (httpx2.ReadTimeout("slow"), AnswerLost, "may have shown the message or not"),
    ],
)
async def test_no_failure_shows_the_address(
    failure: Exception, kind: type[LiftlockError], words: str
) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise failure

    with pytest.raises(kind, match=words) as caught:
        await slack(fail).announce(ANNOUNCEMENT)
    assert "secret" not in shown(caught.value)


@pytest.mark.parametrize(
    "webhook",
    [
        "",
        "hooks.slack.com/services/T/B/secret",
        "https://",
        "https://hooks.slack.com",
        "https://[secret",
        "http://example.com/secret",
    ],
)
async def test_a_wrong_address_is_not_shown_either(webhook: str) -> None:
    with pytest.raises(UsageError) as caught:
        await slack(Channel(), webhook).announce(ANNOUNCEMENT)
    assert "secret" not in shown(caught.value)


def shown(error: BaseException) -> str:
    """All that a reader might ever see of it."""
    return "".join(traceback.format_exception(error)) + getattr(error, "hint", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (72.4, "72 s"), (125, "2 min 5 s"), (3720, "1 h 2 min")]
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("bytes_", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e12, "2.0 TB")])
def test_sizes_are_said_as_people_do(bytes_: int, text: str) -> None:
    assert size(bytes_) == text


def test_escaping_is_slacks() -> None:
    assert escape("a & b < c > d") == "a &amp; b &lt; c &gt; d"
