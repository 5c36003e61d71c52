"""All vendors by the sandbox's paths, and the two questions that tests ask."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.contract import firebase, github, heroku, others
from tests.contract.schemas import Load, Vendor, check_answer, check_request

LOADERS: dict[str, Load] = {
    "github": github.load,
    "heroku": heroku.load,
    "heroku_data": heroku.load_data,
    "registry": others.load_registry,
    "firebase": firebase.load,
    "slack": others.load_slack,
}

_PREFIXES = {
    "/repos/": "github",
    "/user": "github",
    "/rate_limit": "github",
    "/client/v11/": "heroku_data",
    "/v2/": "registry",
    "/v1beta1/": "firebase",
    "/upload/": "firebase",
    "/services/": "slack",
    "/apps": "heroku",
    "/account": "heroku",
    "/actions/": "heroku",
    "/addons": "heroku",
    "/pipelines": "heroku",
    "/pipeline-couplings": "heroku",
    "/addon-attachments": "heroku",
}


def vendor_of(path: str) -> str:
    """Whose path this is at the sandbox; "" for its own ones (running apps, sites, administration)."""
    return next((vendor for prefix, vendor in _PREFIXES.items() if path.startswith(prefix)), "")


@cache
def loaded(vendor: str) -> Vendor | str:
    return LOADERS[vendor]()


def unavailable(vendor: str) -> str:
    """Why a vendor's description cannot be had here; "" when it can."""
    found = loaded(vendor)
    return found if isinstance(found, str) else ""


def _described(vendor: str) -> Vendor:
    found = loaded(vendor)
    if isinstance(found, Vendor):
        return found
    raise LookupError(found)


def validate_request(
    vendor: str, method: str, path: str, body: Any | None = None, query: tuple[str, ...] = ()
) -> None:
    """Raise `BrokenContractError` unless the vendor describes this request."""
    check_request(_described(vendor), method, path, body, query)


def validate_answer(vendor: str, method: str, path: str, status: int, body: Any | None = None) -> None:
    """Raise `BrokenContractError` unless the vendor describes this answer."""
    check_answer(_described(vendor), method, path, status, body)
