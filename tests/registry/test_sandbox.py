"""The registry client against the sandbox's registry, as Heroku's would be spoken to, faults included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import Unauthorized
from liftlock.http import Http
from liftlock.registry.distribution import Distribution
from liftlock.registry.manifests import SCHEMA2
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.inprocess import InProcess
from tests.registry.memory import Memory
from tests.registry.test_distribution import an_image, found, push_directory, quiet

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1:4000"
DEV, STAGING = f"{HOST}/sso-dev/web", f"{HOST}/sso-staging/web"


@pytest.fixture
async def administration() -> AsyncIterator[Http]:
    """A sandbox with two Heroku apps; its administration's client, whose transport reaches it all."""
    cloud = Cloud(modelled=True)
    async with cloud.running():
        http = Http("sandbox", f"http://{HOST}", transport=InProcess(cloud))
        apps = [{"name": "sso-dev"}, {"name": "sso-staging"}]
        await http.request("PUT", "/_sandbox/world", json={"heroku": {"apps": apps}})
        yield http


async def fault(http: Http, **rule: Any) -> None:
    await http.request("POST", "/_sandbox/faults", json=rule)


async def test_push_and_copy(
    distribution: Callable[..., Distribution], administration: Http, service: Path
) -> None:
    client = distribution(administration._transport, login=lambda: ("_", "owner"), schema2_only=(HOST,))
    pushed = await push_directory(client, service, ["./start"], {DEV: ["abc", "latest"]})
    image = await found(client, DEV, "latest")
    assert (image.digest, image.image_id) == (pushed.digest, pushed.image_id)
    copied = await client.copy(image, STAGING, "abc", quiet)
    assert (copied.digest, copied.image_id) == (pushed.digest, pushed.image_id)
    assert await client.has_config(STAGING, pushed.image_id)
    assert await client.look_up(STAGING, "latest") is None


@pytest.mark.parametrize(
    "rule",
    [
        {"method": "HEAD", "action": "status", "status": 503, "times": 2},
        {"method": "POST", "action": "lost", "times": 1},
        {"method": "POST", "action": "reset", "times": 2},
        {"method": "PUT", "path": "/blobs/uploads/", "action": "lost", "times": 1},
        {"method": "PUT", "path": "/blobs/uploads/", "action": "status", "status": 500, "times": 2},
        {"method": "PUT", "path": "/manifests/", "action": "lost", "times": 1},
        {"method": "PUT", "path": "/manifests/", "action": "status", "status": 502, "times": 2},
    ],
    ids=lambda rule: f"{rule['method']} {rule['action']}",
)
async def test_a_push_gets_over_passing_faults(
    distribution: Callable[..., Distribution], administration: Http, service: Path, rule: dict[str, Any]
) -> None:
    await fault(administration, vendor=None, **rule)
    client = distribution(administration._transport, login=lambda: ("_", "owner"))
    pushed = await push_directory(client, service, ["./start"], {DEV: ["abc"]})
    assert (await found(client, DEV, "abc")).digest == pushed.digest


async def test_a_wrong_login_is_refused(
    distribution: Callable[..., Distribution], administration: Http
) -> None:
    client = distribution(administration._transport, login=lambda: ("_", "nobody"))
    with pytest.raises(Unauthorized):
        await client.look_up(DEV, "abc")


async def test_an_oci_image_reaches_heroku_as_schema_2(
    distribution: Callable[..., Distribution], administration: Http
) -> None:
    archive = Memory()
    an_image(archive, "archive/web", "abc", oci=True)
    outside = distribution(archive.transport)
    client = distribution(administration._transport, login=lambda: ("_", "owner"), schema2_only=(HOST,))
    image = await found(outside, "localhost:5001/archive/web", "abc")
    heroku, theirs = client.connect, outside.connect
    client.connect = lambda host: heroku(host) if host == HOST else theirs(host)
    copied = await client.copy(image, DEV, "abc", quiet)
    assert (copied.media_type, copied.image_id) == (SCHEMA2, image.image_id)
    assert await client.has_config(DEV, image.image_id)
