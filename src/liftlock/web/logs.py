"""The server's log: plain lines for people, or a JSON document a line for whatever collects them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from liftlock.wording import printable, printable_json

NAMES = ("liftlock", "uvicorn", "dbos")
_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"})
"""What every record has; anything else was said with `extra`."""


def begin_logs(*, as_json: bool, is_verbose: bool) -> None:
    """Log to standard error from here on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else PlainLines())
    for name in NAMES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "liftlock" or is_verbose else logging.WARNING)


class PlainLines(logging.Formatter):
    """A line for people. What others wrote cannot draw on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        audit = getattr(record, "audit", None)
        more = ""
        if isinstance(audit, dict):
            said = [
                f"{key}={audit[key]}"
                for key in ("account", "address", "environment", "subject")
                if audit[key]
            ]
            more = f" {' '.join(said)}"
        text = (
            f"{at:%Y-%m-%dT%H:%M:%SZ} {record.levelname.lower()} {record.name}: {record.getMessage()}{more}"
        )
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return printable(text)


class JsonLines(logging.Formatter):
    """A JSON document for a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(document, default=str, ensure_ascii=False))
