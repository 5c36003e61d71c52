"""Takers at once over real connections: against a sandbox that is served, each with its own client."""

from __future__ import annotations

import anyio
import pytest

from liftlock.errors import Busy
from liftlock.http import Http
from liftlock.leases.github import GitHubKeeper
from liftlock.leases.numbered import NumberedLeases
from liftlock.ports import Lease
from liftlock.wiring import SystemClock
from tests.leases.worlds import REPOSITORY
from tests.sandbox.serving import served

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P3")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_eight_takers_over_http_and_one_wins_every_time(anyio_backend: str) -> None:
    with served() as admin:
        admin.put("/_sandbox/world", json={"github": {"repositories": [REPOSITORY]}})
        commit = {"sha": "1" * 40, "parents": [], "message": "A commit", "author": "owner"}
        admin.put(f"/_sandbox/github/{REPOSITORY}/commits", json=[commit])
        clients = [_client(str(admin.base_url), f"taker{number}") for number in range(8)]
        try:
            for number in range(1, 11):
                won: list[Lease] = []
                lost: list[Busy] = []
                async with anyio.create_task_group() as tasks:
                    for client in clients:
                        tasks.start_soon(_take, client, won, lost)
                assert (len(won), len(lost)) == (1, 7)
                assert won[0].holding.token == number
                assert {won[0].holding.holder in busy.message for busy in lost} == {True}
                await won[0].renew()
                await won[0].free()
        finally:
            for client in clients:
                await client.aclose()


def _client(base: str, account: str) -> Http:
    async def bearer() -> str | None:
        return f"Bearer user-{account}"

    return Http("github", base, authorization=bearer)


async def _take(client: Http, won: list[Lease], lost: list[Busy]) -> None:
    keeper = GitHubKeeper(lambda: client, REPOSITORY, "observatory")
    try:
        lease = await NumberedLeases(keeper, SystemClock().boottime).take("staging", "a promotion")
    except Busy as busy:
        lost.append(busy)
    else:
        won.append(lease)
