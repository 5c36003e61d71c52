"""Every command explains itself, with lines that can be typed as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from cyclopts import App

from liftlock.cli.app import app, run
from liftlock.cli.examples import EXAMPLES
from liftlock.cli.help import flowing


def commands(group: App, before: str = "") -> Iterator[str]:
    """The full names of all commands below a group; one that stands for a pipe is none."""
    for name in list(group):
        if not name.startswith("-"):
            inner = group[name]
            deeper = list(commands(inner, f"{before}{name} "))
            yield from deeper
            if not deeper or inner.default_command is not None:
                yield f"{before}{name}"


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert set(commands(app)) == set(EXAMPLES)


@pytest.mark.parametrize("command", sorted(EXAMPLES))
def test_help_says_what_a_command_does_and_shows_examples(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")  # a plan's digest is longer than many a terminal is wide
    assert run([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert f"Usage: liftlock {command}" in said
    for line in EXAMPLES[command]:
        assert f"  {line}" in said


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("status", "liftlock status [OPTIONS] [ENVIRONMENT]"),
        ("promote", "liftlock promote [OPTIONS] [SOURCE] [TARGET] [APP...]"),
        ("backups verify", "liftlock backups verify [OPTIONS] ENVIRONMENT APP [BACKUP]"),
    ],
)
def test_the_first_line_of_help_names_the_arguments(
    command: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"Usage: {usage}\n" in capsys.readouterr().out


def test_paragraphs_are_broken_where_the_terminal_ends_and_nowhere_else() -> None:
    """As the source breaks them, lines would end in the middle of a terminal's."""
    docstring = """Do it.

    One sentence
    and another.

    Parameters
    ----------
    one:
        The first,
        on two lines.
    two:
        The second.
    """
    assert flowing(docstring) == (
        "Do it.\n\nOne sentence and another.\n\nParameters\n----------\n"
        "one:\n    The first, on two lines.\ntwo:\n    The second."
    )


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_a_command_line_that_is_understood(line: str) -> None:
    typed = line.removeprefix('eval "$(').removesuffix(')"')
    program, *arguments = shlex.split(typed)
    assert program == "liftlock"
    app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("promot dev staging", "promote"),
        ("statsu", "status"),
        ("backups lst staging", "list"),
        ("lease shw staging", "show"),
        ("promote dev staging --ys", "--yes"),
        ("status --chck", "--check"),
        ("completion bsh", "bash"),
        ("promote dev staging --on-failure undoo", "undo"),
    ],
)
def test_commands_options_and_choices_that_are_mistyped_are_guessed(
    line: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    said = capsys.readouterr().err
    assert "Did you mean" in said
    assert meant in said.partition("Did you mean")[2]
    assert "--help" in said
