"""Everything about who may, of one running server: what the middleware, the pages and the API work with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from liftlock.credentials import Credentials
from liftlock.model import Project
from liftlock.ports import Adapters
from liftlock.web.access.audit import Audit
from liftlock.web.access.limits import Limits
from liftlock.web.access.people import Person, everything, rights_of
from liftlock.web.access.sessions import Session, Sessions
from liftlock.web.access.tokens import Tokens
from liftlock.web.store import Store
from liftlock.wiring import open_project

if TYPE_CHECKING:
    import httpx2


@dataclass
class Access:
    """Who may, and the books that are kept of it, around one database."""

    project: Project
    store: Store
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    transport: httpx2.AsyncBaseTransport | None = None
    """Carries what is asked of the provider instead of the network (tests)."""
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.store, self.now)
        self.tokens = Tokens(self.store, self.now)
        self.audit = Audit(self.store, self.now)
        self.limits = Limits(self.store, self.now)

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in; without it, only this machine's user can, by a one-time link."""
        return self.project.serve.has_sign_in

    def secret(self, reference: str) -> str:
        """The value of `env:NAME` or `keyring:NAME`. Raises `UsageError`."""
        return Credentials(self.environ).secret(reference)

    def person(self, session: Session, address: str) -> Person:
        """Whose session it is, and what the configuration lets them do now."""
        if session.via == "link":
            rights = {} if self.has_sign_in else everything(self.project)
        else:
            rights = rights_of(self.project, session.account, session.groups)
        return Person(session.account, session.name, session.via, rights, address)

    def open_own(self, environ: Mapping[str, str]) -> AbstractAsyncContextManager[Adapters]:
        """The project's adapters with a person's own credentials."""
        return open_project(self.project, environ=environ, transport=self.transport)


def access_of(connection: HTTPConnection) -> Access:
    """The server's access, for a handler."""
    access: Access = connection.app.state.access
    return access
