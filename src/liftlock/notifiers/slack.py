"""Slack, by an incoming webhook: one message per promotion.

The webhook's address is itself the secret: it shows in no error and no log.
Source: Slack, "Sending messages using incoming webhooks" and "Reference: blocks".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio

from liftlock.errors import (
    AnswerLost,
    BadAnswer,
    LiftlockError,
    UsageError,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.http import Answer, Http
from liftlock.http.limits import retry_after
from liftlock.model import Backup
from liftlock.plugins import Context, Plugin
from liftlock.ports import Announcement, AppLine, Notifier
from liftlock.probes import Finding, Probe
from liftlock.wording import duration, size

_ORIGIN = "https://hooks.slack.com"
_PATH = re.compile(r"/(services/T\w+/B\w+/\w+|workflows/[\w/]+|triggers/[\w/]+)")
MAX_BLOCKS = 50
MAX_TEXT = 3000
MAX_HEADER = 150
TIMEOUT_S = 10.0
LONGEST_WAIT_S = 30.0

_WORDS = {
    "invalid_payload": "it could not read the message",
    "invalid_blocks": "it could not read the message's blocks",
    "invalid_token": "the webhook's address is not valid any more",
    "rate_limited": "too many messages at once",
    "no_service": "the webhook was removed or its address is wrong",
    "no_service_id": "the webhook's address is not whole",
    "no_team": "the webhook's workspace does not exist",
    "no_active_hooks": "the webhook was switched off",
    "team_disabled": "the webhook's workspace was switched off",
    "user_not_found": "the user that it writes to does not exist",
    "channel_not_found": "the channel that it writes to does not exist",
    "channel_is_archived": "the channel that it writes to is archived",
    "action_prohibited": "a rule of the workspace forbids it",
    "posting_to_general_channel_denied": "a rule of the workspace forbids writing to #general",
    "rollup_error": "Slack itself failed",
}
_HINT = "Make a new webhook in the Slack app's settings and set it under [notify] slack."


class Slack:
    """`ports.Notifier`. The webhook's address is looked up when there is something to tell."""

    name = "slack"

    def __init__(self, webhook: Callable[[], str], connect: Callable[[str, str], Http]) -> None:
        """`webhook` gives the whole address; `connect` makes a client of (vendor, origin)."""
        self._webhook = webhook
        self._connect = connect

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        return [Probe("Slack", "webhook", self._probe)]

    async def _probe(self) -> Finding:
        """Its form alone: whoever asks Slack about a webhook posts a message."""
        origin, path = _parts(self._webhook())
        if origin == _ORIGIN and not _PATH.fullmatch(path):
            raise UsageError(
                "Slack's webhook has not the form of one.", hint=f"{_HINT} It is …/services/T…/B…/…"
            )
        return Finding("has the form of one; only a message would show whether it works", note=True)

    async def announce(self, announcement: Announcement) -> None:
        """Post one message. A lost answer is not repeated: people would be told twice."""
        origin, path = _parts(self._webhook())
        http = self._connect("slack", origin)
        http.secrets |= {path, path.rpartition("/")[2]}
        answer = await _post(http, path, announcement)
        if answer.status == 429:
            await anyio.sleep(min(retry_after(answer, time.time()) or 1.0, LONGEST_WAIT_S))
            answer = await _post(http, path, announcement)
        told = http.clean(answer.content.decode(errors="replace"))[:200].strip()
        if answer.status != 200 or told != "ok":
            raise _refusal(answer.status, told)


async def _post(http: Http, path: str, announcement: Announcement) -> Answer:
    try:
        return await http.request(
            "POST",
            path,
            json=message(announcement),
            expect=range(200, 600),
            repeat=False,
            timeout_s=TIMEOUT_S,
        )
    except VendorError as error:
        raise _without_address(error) from None  # the cause's text may hold the address


def message(announcement: Announcement) -> dict[str, Any]:
    """The webhook's body: blocks, and a text for where blocks do not show."""
    head = f"{announcement.title}: {announcement.outcome}"
    short, _, rest = head.partition(". ") if len(head) > MAX_HEADER else (head, "", "")
    lines = [_app_line(line) for line in announcement.lines]
    notes = [f"• {escape(note)}" for note in announcement.notes]
    backups = [_backup_line(backup) for backup in announcement.backups]
    blocks = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": shortened(short, MAX_HEADER), "emoji": False},
        },
        _context([_facts(announcement)]),
    ]
    if rest or len(short) > MAX_HEADER:
        blocks += [_section(text) for text in _packed([escape(rest or announcement.outcome)])]
    blocks += [_section(text) for text in _packed(lines)]
    if backups:
        blocks += [_section(text) for text in _packed(["*Backups*", *backups])]
    if notes:
        blocks += [_section(text) for text in _packed(["*Notes*", *notes])]
    left_out = len(blocks) - MAX_BLOCKS
    if left_out > 0:
        blocks = [
            *blocks[: MAX_BLOCKS - 1],
            _context([f"… and {left_out + 1} more parts: see `liftlock history`"]),
        ]
    fallback = [escape(head), *(f"{escape(line.app)} {line.commit[:7]}" for line in announcement.lines)]
    return {"text": shortened("\n".join(fallback), MAX_TEXT), "blocks": blocks}


def escape(text: str) -> str:
    """Text that Slack shows as it is. Source: "Formatting text for app surfaces", "Escaping text"."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, limit: int) -> str:
    """`text` within `limit` characters, never cut inside an `&amp;` or a `<link>`."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    for opening, closing in (("&", ";"), ("<", ">")):
        begin = kept.rfind(opening)
        if begin > kept.rfind(closing) and text.find(closing, begin) >= 0:
            kept = kept[:begin]
    return kept + "…"


def _facts(announcement: Announcement) -> str:
    way = announcement.environment
    if announcement.source:
        way = f"{announcement.source} → {way}"
    facts = [f"*{escape(way)}*", f"by {escape(announcement.who)}", duration(announcement.duration_s)]
    if announcement.url:
        facts.append(_link(announcement.url, "record"))
    return " · ".join(facts)


def _app_line(line: AppLine) -> str:
    commit = f"`{escape(line.commit[:7])}`" if line.commit else ""
    parts = [f"• *{escape(line.app)}*", escape(line.what), commit]
    if line.compare_url:
        parts.append(_link(line.compare_url, "what changed"))
    return " ".join(part for part in parts if part)


def _backup_line(backup: Backup) -> str:
    return f"• {escape(backup.app)}: `{escape(backup.id)}`, {size(backup.size_bytes)}"


def _link(url: str, text: str) -> str:
    return f"<{escape(url).replace('|', '%7C')}|{escape(text)}>"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _context(texts: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": shortened(text, MAX_TEXT)} for text in texts],
    }


def _packed(lines: Iterable[str]) -> Iterator[str]:
    """Lines in as few texts as Slack's limit allows."""
    text = ""
    for whole in lines:
        line = shortened(whole, MAX_TEXT)
        if text and len(text) + 1 + len(line) > MAX_TEXT:
            yield text
            text = line
        else:
            text = f"{text}\n{line}" if text else line
    if text:
        yield text


def _parts(webhook: str) -> tuple[str, str]:
    """Origin and path of the webhook. Raises `UsageError` without showing it."""
    try:
        parts = urlsplit(webhook.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(parts.path) < 2:
        raise UsageError(
            "The Slack webhook's address is not one: it must begin with https://.",
            hint="Copy it whole from the Slack app's settings, under Incoming Webhooks.",
        )
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{parts.netloc}", path


def _without_address(error: VendorError) -> LiftlockError:
    """The same failure in words that cannot hold the address."""
    if isinstance(error, AnswerLost):
        return AnswerLost(
            "Slack's answer was lost: it may have shown the message or not.",
            vendor="slack",
            method="POST",
            address="the webhook",
            hint="Look in the channel.",
        )
    return type(error)(
        "Slack cannot be reached.",
        vendor="slack",
        method="POST",
        address="the webhook",
        status=error.status,
        hint=error.hint,
    )


def _refusal(status: int, told: str) -> VendorError:
    words = _WORDS.get(told)
    if status == 200 or words is None:
        words = f"it answered {told[:80]!r}" if told.isprintable() and told else "it gave no reason"
    kind: type[VendorError] = VendorFailure if status >= 500 else VendorRefusal
    if status < 400:
        kind = BadAnswer
    return kind(
        f"Slack did not take the message: {words} (POST to the webhook: {status}).",
        vendor="slack",
        method="POST",
        address="the webhook",
        status=status,
        code=told if told in _WORDS else "",
        hint=_HINT,
    )


def _build(context: Context) -> Notifier:
    options: Mapping[str, str] = context.project.notify.get("slack", {})
    reference = options.get("webhook", "")
    if not reference:
        raise UsageError(
            "Slack is to be told, and liftlock.toml names no webhook.",
            hint='Set [notify] slack = { webhook = "env:SLACK_WEBHOOK_URL" }.',
        )
    return Slack(lambda: context.secret(reference), context.plain_http)


plugin: Plugin[Notifier] = Plugin("slack", _build)
