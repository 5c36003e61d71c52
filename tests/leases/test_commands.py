"""`liftlock lease show` and `liftlock lease break`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from liftlock.cli.app import run
from liftlock.config import load
from liftlock.errors import LeaseLost
from liftlock.wiring import open_project

PROJECT = """
project = { name = "shop", ledger = "sqlite:///liftlock.db", single_machine = true }
environments = { dev = {}, production = { from = ["dev"] } }
apps = { site = { firebase = "shop-{env}" } }
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "liftlock.toml"
    path.write_text(PROJECT)
    return str(path)


def held(config: str, *commands: list[str]) -> list[int]:
    """The exit codes of commands that are run while somebody holds production, and learns of it."""

    async def hold() -> list[int]:
        async with open_project(load(Path(config), {}), environ={}) as adapters:
            lease = await adapters.leases.take("production", "a promotion from dev")
            codes = [
                await anyio.to_thread.run_sync(run, [*command, "--config", config]) for command in commands
            ]
            if any("break" in command for command in commands):
                with pytest.raises(LeaseLost, match="it hangs since noon"):
                    await lease.renew()
            await lease.free()
            return codes

    return anyio.run(hold)


def test_nobody_holds_it(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lease", "show", "production", "--config", config]) == 0
    assert capsys.readouterr().out == "Nobody holds production.\n"
    assert run(["lease", "show", "production", "--json", "--config", config]) == 0
    assert json.loads(capsys.readouterr().out) == {"environment": "production", "holding": None}
    assert run(["lease", "break", "production", "--reason", "x", "--config", config]) == 1
    assert "Nobody holds production" in capsys.readouterr().err


def test_the_holder_is_shown(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert held(config, ["lease", "show", "production"], ["lease", "show", "production", "--json"]) == [0, 0]
    line, _, document = capsys.readouterr().out.partition("\n")
    assert "holds production for a promotion from dev, since 20" in line
    assert "(token 1)" in line
    holding = json.loads(document)["holding"]
    assert holding["purpose"] == "a promotion from dev"
    assert (holding["token"], holding["broken"]) == (1, "")
    assert holding["since"] < holding["until"]


def test_it_is_broken_with_a_reason_and_the_holder_learns_it(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ["lease", "break", "production", "--reason", " it hangs\nsince noon "]
    assert held(config, broken, ["lease", "show", "production"]) == [0, 0]
    out = capsys.readouterr().out
    assert out.startswith("Took production away from ")
    assert "for a promotion from dev" in out
    assert "it hangs since noon" in out
    assert "liftlock resume production" in out
    assert out.endswith("Nobody holds production.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["break", "production", "--reason", " "], "not broken without a reason"),
        (["break", "production", "--reason", "x" * 501], "501 characters"),
        (["break", "production"], "--reason"),
        (["break", "prodution", "--reason", "x"], "Did you mean production?"),
        (["show", "prodution"], "Did you mean production?"),
    ],
)
def test_a_mistyped_command_is_told_and_breaks_nothing(
    config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(["lease", *arguments, "--config", config]) == 2
    assert told in capsys.readouterr().err
