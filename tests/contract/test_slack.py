"""What the notifier sends to Slack."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from liftlock.model import Backup
from liftlock.ports import Announcement, AppLine
from tests.contract.conftest import Stage

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_the_message_of_a_promotion_is_as_slack_describes_it(stage: Stage) -> None:
    (slack,) = stage.adapters.notifiers
    await slack.announce(
        Announcement(
            title="observatory: dev → staging",
            outcome="success",
            environment="staging",
            source="dev",
            who="owner",
            duration_s=12.3,
            lines=(AppLine("SSO", "lifted", "abc1234", "https://github.com/example/services/compare/a...b"),),
            backups=(Backup("b001", "postgresql-curly-1", "SSO", "heroku", 4096, AT, AT),),
            notes=("AdminUI is left behind",),
            url="https://github.com/example/services/deployments",
        )
    )
    assert [method for method, _ in stage.recorder.seen("slack")] == ["POST"]
