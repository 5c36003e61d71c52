"""`liftlock.toml` → `Project`: every mistake at once, each with its file, line and key.

Not here: credentials (read where they are used) and whether the endpoints fit together (`wiring`).
"""

from __future__ import annotations

from liftlock.config.files import FILE_NAME, find, load, parse
from liftlock.config.values import duration_s

__all__ = ["FILE_NAME", "duration_s", "find", "load", "parse"]
