"""The embedded cloud: GitHub, Heroku, its registry, Postgres, Firebase Hosting and Slack on loopback.

It is the other side of the wire and imports nothing of liftlock's core. Installed by
`liftlock[sandbox]`. `python -m liftlock.sandbox` runs it.
"""

from __future__ import annotations

from liftlock.sandbox.app import create_app
from liftlock.sandbox.cloud import Cloud, Settings

__all__ = ["Cloud", "Settings", "create_app"]
