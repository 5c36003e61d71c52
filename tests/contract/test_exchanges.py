"""The recorder sees everything that is said, and lets nothing pass that is not described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.conftest import Stage
from tests.contract.schemas import BrokenContractError

pytestmark = pytest.mark.anyio

OWNER = {"authorization": "Bearer owner"}
HEROKU = OWNER | {"accept": "application/vnd.heroku+json; version=3"}
DEPLOYMENTS = "/repos/example/services/deployments"


@pytest.fixture
def emptied(stage: Stage) -> Iterator[Stage]:
    """The stage, which forgets at the end what was wrong on purpose."""
    yield stage
    stage.recorder.exchanges.clear()


async def test_an_answer_that_the_vendor_would_not_give_is_caught(emptied: Stage) -> None:
    await emptied.tell(
        "POST", "/faults", {"vendor": "github", "action": "body", "body": [{"id": "one"}], "times": 1}
    )
    await emptied.client.get(DEPLOYMENTS, headers=OWNER)
    with pytest.raises(BrokenContractError, match="'one' is not of type 'integer'"):
        emptied.recorder.check()


async def test_a_request_that_the_vendor_would_not_know_is_caught(emptied: Stage) -> None:
    await emptied.client.get(DEPLOYMENTS, params={"state": "success"}, headers=OWNER)
    with pytest.raises(BrokenContractError, match="'state' is not described"):
        emptied.recorder.check()


async def test_a_body_that_the_vendor_would_not_know_is_caught(emptied: Stage) -> None:
    body = {"ref": "main", "automerge": False, "required_contexts": []}
    await emptied.client.post(DEPLOYMENTS, json=body, headers=OWNER)
    assert [e.sent for e in emptied.recorder.exchanges] == [body]
    with pytest.raises(BrokenContractError, match="automerge"):
        emptied.recorder.check()


async def test_refusals_are_as_the_vendors_describe_them(stage: Stage) -> None:
    """Nobody's credentials, and nothing's path: every vendor says no in its own format."""
    for path in (
        "/repos/example/services/deployments",
        "/apps/lucuma-sso-staging",
        "/client/v11/apps/lucuma-sso-staging/transfers",
        "/v2/lucuma-sso-staging/web/manifests/latest",
        "/v1beta1/sites/explore-gemini-stage/channels/live",
    ):
        assert (await stage.client.get(path)).status_code == 401, path
    for path in (
        "/repos/example/nothing/deployments",
        "/apps/nothing-staging",
        "/client/v11/apps/nothing-staging/transfers/1",
        "/v2/lucuma-sso-staging/web/manifests/nothing",
        "/v1beta1/sites/nothing/channels/live",
    ):
        assert (await stage.client.get(path, headers=HEROKU)).status_code == 404, path
    assert (await stage.client.get("/apps/lucuma-sso-staging", headers=OWNER)).status_code == 406
    assert len(stage.recorder.exchanges) == 11
