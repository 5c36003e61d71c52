"""The judge catches every broken engine, and for the right promise."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import simulate

WITHIN = 500


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_engine_is_caught(name: str) -> None:
    promise, mutation = MUTANTS[name]
    with mutation():
        for seed in range(1, WITHIN + 1):
            if any(broken.startswith(promise) for broken in simulate(seed).broken):
                return
    pytest.fail(f"{name} broke {promise} for {WITHIN} seeds, and nobody noticed", pytrace=False)
