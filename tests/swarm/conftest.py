"""The two engines that stories are told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.registry.cncf import NoRegistry
from tests.registry.dockerd import NoEngine
from tests.swarm.modelled import play as play_modelled
from tests.swarm.real import Engine, one_node
from tests.swarm.real import play as play_real


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real swarm of one node that this session runs for itself."""
    try:
        with one_node(tmp_path_factory.mktemp("swarm")) as made:
            yield made
    except (NoEngine, NoRegistry) as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["modelled", pytest.param("real", marks=pytest.mark.docker)])
def play(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Runs a story on an engine."""
    if request.param == "modelled":
        return play_modelled
    made: Any = request.getfixturevalue("engine")
    return partial(play_real, made, tmp_path_factory.getbasetemp() / "cache")
