"""How the tests are spread over several processes: `pytest -n auto`, which `make test` says.

A module's tests stay together, so that what they share is made once. Modules that take long begin first:
the last one to end is then a short one.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

SLOWEST = (
    "tests/e2e/test_swarm.py",
    "tests/e2e/test_moving_house.py",
    "tests/web/work/test_workers.py",
    "tests/web/operations/test_image.py",
    "tests/e2e/test_server.py",
    "tests/simulation/test_real_processes.py",
    "tests/web/work/test_kills.py",
    "tests/e2e/test_clients.py",
    "tests/simulation/test_every_request.py",
    "tests/e2e/test_failures.py",
    "tests/simulation/test_seeds.py",
    "tests/platforms/test_contract.py",
    "tests/web/browser/test_dashboard.py",
    "tests/observatory/test_demo.py",
    "tests/swarm/test_contract.py",
)
"""What takes most of a minute or more; a module that is not here and should be costs time, and nothing else."""

DIVISIBLE = ("tests/simulation/test_seeds.py", "tests/simulation/test_mutants.py")
"""Modules whose tests share nothing: each may go to another process."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores, and two at least: many tests wait for other processes."""
    cores = os.cpu_count() or 1
    return max(2, cores + cores // 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if config.getoption("dist") != "load":  # somebody asked for another way
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Modules(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return nodeid if module in DIVISIBLE else module

    config.option.loadscopereorder = False
    return Modules(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the tests are spread, the slowest first."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {module: place for place, module in enumerate(SLOWEST)}
        items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
