"""What all tests share: the event loop, and the program as users have it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.postgresql import empty_database, ledger_database, server  # noqa: F401 - fixtures
from tests.side_by_side import (  # noqa: F401 - hooks
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)

PROGRAM = "LIFTLOCK_PROGRAM"
PROGRAM_BARE = "LIFTLOCK_PROGRAM_BARE"


@pytest.fixture
def anyio_backend() -> str:
    """Production's event loop; simulations choose trio for themselves."""
    return "asyncio"


@pytest.fixture(scope="session")
def program() -> Path:
    """`liftlock` with the extras: the installed wheel under `make test`, else the work tree's."""
    named = os.environ.get(PROGRAM)
    path = Path(named) if named else Path(sys.executable).parent / "liftlock"
    if not path.is_file():
        pytest.fail(f"there is no {path}; `make test` builds and installs it", pytrace=False)
    return path


@pytest.fixture(scope="session")
def bare_program() -> Path:
    """`liftlock` as installed from the wheel without extras."""
    named = os.environ.get(PROGRAM_BARE)
    if not named:
        pytest.skip(f"{PROGRAM_BARE} is not set; `make test` installs the wheel without extras and sets it")
    return Path(named)
