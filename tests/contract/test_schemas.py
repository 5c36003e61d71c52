"""The descriptions hold right messages for right, and wrong ones for wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.schemas import BrokenContractError
from tests.contract.vendors import LOADERS, unavailable, validate_answer, validate_request, vendor_of

IMAGE = "sha256:" + "a" * 64
DEPLOYMENTS = "/repos/example/services/deployments"
STATUSES = f"{DEPLOYMENTS}/1/statuses"
RELEASES = "/v1beta1/projects/-/sites/explore-gemini-stage/channels/live/releases"
CLONE = "/v1beta1/projects/-/sites/explore-gemini-stage/versions:clone"
FORMATION = "/apps/itc-staging/formation"
DEPLOYMENT = {
    "ref": "c0ffee",
    "task": "deploy:SSO",
    "environment": "staging",
    "auto_merge": False,
    "required_contexts": [],
    "payload": {"docker_image_shas": {"web": IMAGE}},
}

RIGHT: list[tuple[str, str, str, Any]] = [
    ("github", "POST", DEPLOYMENTS, DEPLOYMENT),
    ("github", "POST", STATUSES, {"state": "success", "auto_inactive": False}),
    ("github", "POST", "/repos/example/services/git/refs", {"ref": "refs/liftlock/prod", "sha": "0" * 40}),
    ("heroku", "PATCH", FORMATION, {"updates": [{"type": "web", "docker_image": IMAGE}]}),
    ("heroku", "POST", "/apps/itc-staging/releases", {"release": "01234567-89ab-cdef-0123-456789abcdef"}),
    ("heroku", "PATCH", "/apps/itc-staging/config-vars", {"KEY": "value", "OLD": None}),
    ("heroku_data", "POST", "/client/v11/databases/postgresql-curly-1/backups", None),
    ("firebase", "POST", RELEASES, {"type": "SITE_DISABLE"}),
    ("firebase", "POST", CLONE, {"sourceVersion": "sites/explore/versions/1", "finalize": True}),
    ("slack", "POST", "/services/T/B/X", {"text": "promoted"}),
]

WRONG: list[tuple[str, str, str, Any, str]] = [
    ("github", "POST", DEPLOYMENTS, {**DEPLOYMENT, "automerge": False}, "automerge"),
    ("github", "POST", DEPLOYMENTS, {"task": "deploy:SSO"}, "'ref' is a required property"),
    ("github", "POST", DEPLOYMENTS, {**DEPLOYMENT, "environment": None}, "environment"),
    ("github", "POST", STATUSES, {"state": "done"}, "done"),
    ("github", "PUT", DEPLOYMENTS, DEPLOYMENT, "describes no PUT"),
    ("heroku", "PATCH", FORMATION, {"updates": [{"type": "web", "image": IMAGE}]}, "image"),
    ("heroku", "PATCH", FORMATION, {"updates": [{"type": "web", "docker_image": "latest"}]}, "latest"),
    ("heroku", "POST", "/apps/itc-staging/releases", {"release": "v12"}, "v12"),
    ("heroku_data", "POST", "/client/v11/databases/d/backups", {"now": True}, "a body was sent"),
    ("firebase", "POST", RELEASES, {"type": "SITE_OFF"}, "SITE_OFF"),
    ("firebase", "POST", CLONE, {"source_version": "sites/explore/versions/1"}, "source_version"),
    ("slack", "POST", "/services/T/B/X", {"text": "promoted", "channel": "#ops"}, "channel"),
]


@pytest.fixture(autouse=True)
def _described(request: pytest.FixtureRequest) -> None:
    vendor = getattr(request.node, "callspec").params.get("vendor")  # noqa: B009
    if reason := unavailable(vendor):
        pytest.skip(reason)


@pytest.mark.parametrize("vendor", LOADERS)
def test_every_vendor_has_operations(vendor: str) -> None:
    with pytest.raises(BrokenContractError, match="describes no GET /nowhere"):
        validate_request(vendor, "GET", "/nowhere")


@pytest.mark.parametrize(("vendor", "method", "path", "body"), RIGHT)
def test_a_request_as_described_passes(vendor: str, method: str, path: str, body: Any) -> None:
    validate_request(vendor, method, path, body)
    assert vendor_of(path) == vendor


@pytest.mark.parametrize(("vendor", "method", "path", "body", "says"), WRONG)
def test_a_request_with_a_mistake_is_caught(
    vendor: str, method: str, path: str, body: Any, says: str
) -> None:
    with pytest.raises(BrokenContractError, match=says):
        validate_request(vendor, method, path, body)


@pytest.mark.parametrize(
    ("vendor", "method", "path", "status", "body", "says"),
    [
        ("github", "GET", DEPLOYMENTS, 200, [{"id": 1}], "'url' is a required property"),
        ("github", "POST", DEPLOYMENTS, 202, {"message": "merged"}, "status 202"),
        ("heroku", "GET", FORMATION, 200, [{"type": "web", "quantity": "1"}], "is not of type 'integer'"),
        (
            "heroku",
            "GET",
            "/apps/itc-staging/dynos",
            200,
            [{"type": "web"}],
            "'state' is a required property",
        ),
        ("heroku", "GET", FORMATION, 404, {"error": "no app"}, "'id' is a required property"),
        ("heroku_data", "GET", "/client/v11/apps/a/transfers/1", 200, {"num": 1}, "'uuid' is a required"),
        ("firebase", "GET", "/v1beta1/sites/s/versions/v", 200, {"fileCount": 3}, "not of type 'string'"),
        ("firebase", "GET", "/v1beta1/sites/s/versions/v", 404, {"error": {"code": 404}}, "'message' is"),
        ("registry", "GET", "/v2/a/web/manifests/latest", 404, {"errors": []}, "non-empty|too short"),
    ],
)
def test_an_answer_with_a_mistake_is_caught(
    vendor: str, method: str, path: str, status: int, body: Any, says: str
) -> None:
    with pytest.raises(BrokenContractError, match=says):
        validate_answer(vendor, method, path, status, body)


@pytest.mark.parametrize("vendor", ["github"])
def test_a_wrong_query_is_caught(vendor: str) -> None:
    validate_request(vendor, "GET", DEPLOYMENTS, query=("task", "environment", "per_page"))
    with pytest.raises(BrokenContractError, match="'state' is not described"):
        validate_request(vendor, "GET", DEPLOYMENTS, query=("state",))
