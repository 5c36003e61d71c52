"""For whoever writes an adapter: the contract tests that the built-in adapters pass, and small fakes.

A contract is a class of tests for pytest. Inherit from it, give it a fixture, and every test of it
is run on your adapter:

    class TestSupervisor(PlatformContract):
        @pytest.fixture
        def world(self, tmp_path: Path) -> Iterator[PlatformWorld]: ...

It needs pytest: `pip install 'liftlock[testing]'`. No part of liftlock that is not a test imports it.
See the how-to "Write an adapter".
"""

from __future__ import annotations

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "liftlock.testing needs pytest: pip install 'liftlock[testing]'", name=error.name
    ) from error

# Before the modules are imported: a failing contract then shows the values that it compared.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("databases", "leases", "ledgers", "notifiers", "platforms"))
)

from liftlock.leases.memory import MemoryLeases  # noqa: E402
from liftlock.ledgers.memory import Memory  # noqa: E402
from liftlock.testing.clock import START, FakeClock  # noqa: E402
from liftlock.testing.databases import DatabaseContract, DatabaseWorld  # noqa: E402
from liftlock.testing.leases import LeasesContract, LeasesWorld  # noqa: E402
from liftlock.testing.ledgers import LedgerContract, LedgerWorld  # noqa: E402
from liftlock.testing.notifiers import NotifierContract, NotifierWorld  # noqa: E402
from liftlock.testing.platforms import PlatformContract, PlatformWorld  # noqa: E402
from liftlock.testing.projects import project_from  # noqa: E402
from liftlock.testing.samples import sample_project  # noqa: E402
from liftlock.testing.source_code import NoSourceCode  # noqa: E402
from liftlock.testing.workbench import Killed, Workbench, adapters_in_memory  # noqa: E402
from liftlock.wiring import open_context  # noqa: E402

__all__ = [
    "PlatformContract",
    "PlatformWorld",
    "LedgerContract",
    "LedgerWorld",
    "LeasesContract",
    "LeasesWorld",
    "DatabaseContract",
    "DatabaseWorld",
    "NotifierContract",
    "NotifierWorld",
    "Workbench",
    "adapters_in_memory",
    "Killed",
    "Memory",
    "MemoryLeases",
    "FakeClock",
    "START",
    "NoSourceCode",
    "open_context",
    "project_from",
    "sample_project",
]
