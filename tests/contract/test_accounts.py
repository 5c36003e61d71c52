"""What `init` asks of the vendors before there is a project, and what the sandbox answers."""

from __future__ import annotations

import pytest

from liftlock.accounts import HerokuApp, RecordSeen
from liftlock.config.endpoints import ENDPOINTS
from liftlock.sandbox.inprocess import InProcess
from liftlock.wiring import open_accounts
from tests.contract.conftest import BASE, Stage
from tests.contract.vendors import unavailable

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(unavailable("heroku")), reason=unavailable("heroku") or "described"),
]


async def test_accounts_are_read_as_the_vendors_describe_them(stage: Stage) -> None:
    pipeline = {"pipeline": "sso", "stage": "staging"}
    await stage.tell("PUT", "/world", {"heroku": {"apps": [{"name": "lucuma-sso-staging", **pipeline}]}})
    await stage.push_image("lucuma-sso-dev", "web", "one")
    await stage.client.post(
        "/repos/example/services/deployments",
        json={"ref": "main", "task": "deploy:SSO", "environment": "development", "auto_merge": False},
        headers={"authorization": "Bearer owner"},
    )
    environ = {variable: BASE for variable, _ in ENDPOINTS.values()}
    transport = InProcess(stage.cloud, stage.recorder)
    async with open_accounts(environ, transport) as accounts:
        assert list(await accounts.heroku_apps()) == [
            HerokuApp("lucuma-sso-dev", database=True),
            HerokuApp("lucuma-sso-staging", database=True, pipeline="sso", stage="staging"),
        ]
        assert list(await accounts.heroku_processes("lucuma-sso-dev")) == []
        assert set(await accounts.sites("observatory")) == {"explore-gemini-dev", "explore-gemini-stage"}
        assert list(await accounts.records("example/services")) == [
            RecordSeen("example/services", "deploy:SSO", "development")
        ]
    assert ("GET", "/pipeline-couplings") in stage.recorder.seen("heroku")


async def test_long_lists_are_read_to_their_end(stage: Stage) -> None:
    many = [{"name": f"shop-{number:04}"} for number in range(1001)]
    await stage.tell("PUT", "/world", {"heroku": {"apps": many}})
    environ = {variable: BASE for variable, _ in ENDPOINTS.values()}
    async with open_accounts(environ, InProcess(stage.cloud, stage.recorder)) as accounts:
        assert len(await accounts.heroku_apps()) == 1003
