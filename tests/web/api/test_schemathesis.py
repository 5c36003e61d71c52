"""The server is asked for whatever its description allows, and for what it does not: nothing it answers may surprise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio.from_thread
import pytest
from hypothesis import HealthCheck, Phase, settings

from liftlock.model import Serve
from liftlock.web.access.people import Right
from liftlock.web.api.openapi import document
from tests.commands.world import World
from tests.web.access.served import GITHUB
from tests.web.api.listening import listening

schemathesis = pytest.importorskip("schemathesis", reason="requirements/dev.in brings schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
SCHEMA = schemathesis.openapi.from_dict(document())
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@asynccontextmanager
async def _serving() -> AsyncIterator[tuple[str, str]]:
    world = World()
    everybody: tuple[str, ...] = ("*",)
    roles: dict[str, dict[str, tuple[str, ...]]] = {
        environment: dict.fromkeys(map(str, Right), everybody) for environment in world.project.environments
    }
    world.project = replace(world.project, serve=Serve(github=GITHUB, roles=roles))
    async with listening(world) as place:
        yield place


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    """The address of a server, in an event loop of its own thread, and a token that may everything."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_serving()) as place,
    ):
        yield place


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_answers_as_it_is_described(case: Any, served: tuple[str, str]) -> None:
    url, token = served
    case.call_and_validate(base_url=url, headers={"authorization": f"Bearer {token}"}, checks=CHECKS)
