"""The request log: what the vendors were asked, in order, for tests and for the index page.

Kept in memory alone, and no credentials: headers are not recorded.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from starlette.types import Message

BODY_LIMIT = 4096
KEPT = 50_000


class Entry:
    """One request; `status` is 0 until it is answered, and stays so when it never is."""

    __slots__ = ("at", "body", "fault", "method", "n", "path", "received", "sent", "status", "vendor")

    def __init__(self, n: int, at: str, vendor: str, method: str, path: str) -> None:
        self.n = n
        self.at = at
        self.vendor = vendor
        self.method = method
        self.path = path
        self.status = 0
        self.fault = ""
        self.body = b""
        self.received = 0
        self.sent = 0
        """Bytes of the bodies, without headers."""

    def hear(self, message: Message, *, keep: bool) -> None:
        """Count the body as it comes in, and keep its beginning if it is to be shown."""
        part = message.get("body", b"")
        self.received += len(part)
        room = BODY_LIMIT - len(self.body)
        if keep and room > 0:
            self.body += part[:room]

    def document(self) -> dict[str, Any]:
        """As `/_sandbox/requests` shows it. A body that was cut is text, a whole one is JSON."""
        body: Any = None
        if self.body:
            try:
                body = json.loads(self.body)
            except ValueError:
                body = self.body.decode(errors="replace")
        return {
            "n": self.n,
            "at": self.at,
            "vendor": self.vendor,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "fault": self.fault or None,
            "body": body,
            "received": self.received,
            "sent": self.sent,
        }


class RequestLog:
    """The last `KEPT` requests, numbered from 1."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._count = 0

    def begin(self, at: str, vendor: str, method: str, path: str) -> Entry:
        """Note that a request has come in; the answer is filled in later."""
        self._count += 1
        entry = Entry(self._count, at, vendor, method, path)
        self._entries.append(entry)
        return entry

    def since(self, n: int = 0, vendor: str | None = None) -> list[Entry]:
        """The requests after number `n`, oldest first."""
        return [e for e in self._entries if e.n > n and (vendor is None or e.vendor == vendor)]

    def clear(self) -> None:
        """Forget them; the numbering goes on."""
        self._entries.clear()
