"""Slack's incoming webhooks, and a page that shows what arrived.

Source: Slack documentation, "Sending messages using incoming webhooks" (plain text answers).
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.app import plain_refusal
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.pages import page
from liftlock.sandbox.store import Document

NAME = "slack"
PATHS = ("/services/", "/slack")
OPEN = True
refusal = plain_refusal

# Slack's own notation: <address|text>, *bold*, _italic_, ~struck~, `code`. Text arrives with & < > escaped.
_LINK = re.compile(r"<(https?://[^|>\s]+)(?:\|([^>]*))?>")
_MARKS = (
    (re.compile(r"```(.+?)```", re.DOTALL), r"<pre>\1</pre>"),
    (re.compile(r"`([^`\n]+)`"), r"<code>\1</code>"),
    (re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_/])_([^_\n]+)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~([^~\n]+)~(?![\w~])"), r"<s>\1</s>"),
)


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The webhook and the page."""
    messages = cloud.store.table("slack.messages")

    async def webhook(request: Request) -> Response:
        try:
            payload = json.loads(await request.body())
        except ValueError:
            return PlainTextResponse("invalid_payload", 400)
        if not isinstance(payload, dict):
            return PlainTextResponse("invalid_payload", 400)
        if not isinstance(payload.get("text", ""), str) or not isinstance(payload.get("blocks", []), list):
            return PlainTextResponse("invalid_payload", 400)
        if not payload.get("text") and not payload.get("blocks") and not payload.get("attachments"):
            return PlainTextResponse("no_text", 400)
        number = cloud.store.next("slack.message")
        row = {"id": number, "at": seconds_iso(cloud.clock.now()), "payload": payload}
        messages.put(str(number), row)
        return PlainTextResponse("ok")

    async def show(request: Request) -> Response:
        shown = "".join(_article(row) for row in reversed(messages.values()))
        empty = '<p class="dim">Nothing has arrived yet.</p>'
        return Response(
            page("Slack", f"<h1>Slack</h1>{shown or empty}", navigation=True), media_type="text/html"
        )

    return [
        Route("/services/{team}/{app}/{secret}", webhook, methods=["POST"]),
        Route("/slack", show, methods=["GET"]),
    ]


def observe(cloud: Cloud) -> list[Document]:
    """The messages, oldest first."""
    return cloud.store.table("slack.messages").values()


def _article(row: Document) -> str:
    payload = row["payload"]
    blocks = "".join(_block(block) for block in payload.get("blocks", []) if isinstance(block, dict))
    body = blocks or f"<p>{marked(payload.get('text', ''))}</p>"
    return f"<article><small>{escape(row['at'])}</small>{body}</article>"


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "divider":
        return "<hr>"
    texts = [block["text"]] if isinstance(block.get("text"), dict) else []
    texts += [one for key in ("fields", "elements") for one in block.get(key, []) if isinstance(one, dict)]
    parts = [marked(one["text"]) for one in texts if isinstance(one.get("text"), str)]
    tag = {"header": "h2", "context": "small"}.get(str(kind), "p")
    return "".join(f"<{tag}>{part}</{tag}>" for part in parts)


def marked(text: str) -> str:
    """Slack's notation as HTML; everything else in it is shown as it stands."""
    out: list[str] = []
    end = 0
    for link in _LINK.finditer(text):
        out.append(_marks(text[end : link.start()]))
        out.append(f'<a href="{escape(link[1])}">{_marks(link[2] or link[1])}</a>')
        end = link.end()
    out.append(_marks(text[end:]))
    return "".join(out)


def _marks(text: str) -> str:
    # What arrives is escaped for & < > already, so those three are read back first.
    for code, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(code, sign)
    html = escape(text, quote=False)
    for pattern, replacement in _MARKS:
        html = pattern.sub(replacement, html)
    return html
