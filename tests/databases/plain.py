"""A project whose apps name their databases by address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from liftlock.credentials import Credentials
from liftlock.databases.postgres import PlainPostgres
from liftlock.model import App
from liftlock.plugins import Context
from liftlock.ports import Clock
from liftlock.postgresql.address import Address
from tests.doubles import app_of, project_of
from tests.platforms.world import context_of


class RealTime:
    """The wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boottime(self) -> float:
        return 0.0


def url_of(address: Address) -> str:
    """The address as a team writes it into a variable."""
    user, password = quote(address.user, safe=""), quote(address.password, safe="")
    return f"postgresql://{user}:{password}@/{address.database}?host={quote(address.host, safe='')}"


def plain_app(name: str, folder: Path, variable: str = "DATABASE_URL") -> App:
    app = app_of(name, backup=True)
    backup = {"url": f"env:{variable}", "folder": str(folder)}
    targets = {e: replace(target, backup=backup) for e, target in app.targets.items()}
    return replace(app, targets=targets, databases="postgres")


def context(app: App, variables: Mapping[str, str], clock: Clock | None = None) -> Context:
    environ = {**os.environ, **variables}
    secret = Credentials(environ).secret
    more: dict[str, Any] = {"environ": environ, "secret": secret, "clock": clock or RealTime()}
    return context_of(project_of(app), lambda _: None, **more)  # type: ignore[arg-type,return-value]


def service(app: App, address: Address, *, clock: Clock | None = None, **variables: str) -> PlainPostgres:
    return PlainPostgres(context(app, {"DATABASE_URL": url_of(address), **variables}, clock))
