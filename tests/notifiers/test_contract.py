"""The built-in notifier keeps the contract that every notifier is held to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from liftlock.plugins import Context, load
from liftlock.ports import Notifier
from liftlock.sandbox import Cloud
from liftlock.sandbox import slack as slack_of_the_sandbox
from liftlock.sandbox.inprocess import InProcess
from liftlock.testing import NotifierContract, open_context
from tests.doubles import app_of, project_of

WEBHOOK = "http://127.0.0.1:1/services/T000/B000/very-secret"


@dataclass
class SlackWorld:
    cloud: Cloud
    context: Context
    secrets: Sequence[str] = (WEBHOOK, "very-secret")

    def notifier(self) -> Notifier:
        made: Notifier = load("notifiers", "slack").build(self.context)
        return made

    async def told(self) -> Sequence[str]:
        return [
            json.dumps(row["payload"], ensure_ascii=False) for row in slack_of_the_sandbox.observe(self.cloud)
        ]

    def deafen(self) -> None:
        self.cloud.faults.add({"vendor": "slack", "action": "status", "status": 404, "body": {}})


class TestSlack(NotifierContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[SlackWorld]:
        project = replace(project_of(app_of("SSO")), notify={"slack": {"webhook": "env:HOOK"}})
        cloud = Cloud(modelled=True)
        async with (
            cloud.running(),
            open_context(project, transport=InProcess(cloud), environ={"HOOK": WEBHOOK}) as context,
        ):
            yield SlackWorld(cloud, context)
