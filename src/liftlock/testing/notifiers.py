"""What every notifier owes the core, as tests: see `ports.Notifier`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from liftlock.errors import LiftlockError
from liftlock.model import Backup
from liftlock.ports import Announcement, AppLine, Notifier
from liftlock.testing.clock import START

ANNOUNCEMENT = Announcement(
    title="observatory: promotion staging → production",
    outcome="succeeded",
    environment="production",
    source="staging",
    who="anna",
    duration_s=72.4,
    lines=(
        AppLine("SSO", "release", "1" * 40, "https://github.example/services/compare/0...1"),
        AppLine("Explore", "record", "3" * 40),
    ),
    backups=(Backup("b042", "postgresql-curly-1", "SSO", "heroku", 1_234_567, START, START),),
    notes=("ITC is left behind: it was not selected",),
    url="https://github.example/services/deployments/7",
)


class NotifierWorld(Protocol):
    """Your notifier and whoever listens."""

    def notifier(self) -> Notifier: ...

    async def told(self) -> Sequence[str]:
        """Every message that arrived, whole and as text, the oldest first."""
        ...

    def deafen(self) -> None:
        """From now on nobody can be reached."""
        ...

    secrets: Sequence[str]
    """What no error may show: a token, a webhook's address."""


class NotifierContract:
    """Inherit from it and give it the fixture `world`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "asyncio"

    async def test_one_message_tells_what_became_of_what(self, world: NotifierWorld) -> None:
        await world.notifier().announce(ANNOUNCEMENT)
        (message,) = await world.told()
        for word in ("production", "SSO", "Explore", "ITC is left behind"):
            assert word in message

    async def test_a_failure_is_told_as_one(self, world: NotifierWorld) -> None:
        outcome = "failed (everything runs as before). web of SSO crashed at start."
        await world.notifier().announce(replace(ANNOUNCEMENT, outcome=outcome))
        (message,) = await world.told()
        assert "web of SSO crashed at start." in message

    async def test_what_is_long_or_strange_is_still_told(self, world: NotifierWorld) -> None:
        lines = tuple(AppLine(f"app{number}", "release", "1" * 40) for number in range(300))
        strange = '<!channel> *_`~ & "quotes" @everyone \u202e née ' * 200
        await world.notifier().announce(replace(ANNOUNCEMENT, lines=lines, notes=(strange,), outcome=strange))
        (message,) = await world.told()
        assert "app0" in message

    async def test_nobody_there_is_an_error_of_ours_without_secrets(self, world: NotifierWorld) -> None:
        world.deafen()
        with pytest.raises(LiftlockError) as refused:
            await world.notifier().announce(ANNOUNCEMENT)
        said = f"{refused.value.message} {refused.value.hint}"
        assert all(secret not in said for secret in world.secrets)
