"""A cloud that is served over TCP."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.sandbox.serving import served
from tests.sandbox.worlds import COMMITS, WORLD


@pytest.fixture
def web() -> Iterator[httpx2.Client]:
    """A served cloud with the small world."""
    with served() as client:
        assert client.put("/_sandbox/world", json=WORLD).status_code == 200
        assert client.put("/_sandbox/github/example/services/commits", json=COMMITS).status_code == 200
        yield client
