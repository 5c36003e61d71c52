"""What `--help` says: arguments by their names, and paragraphs that are broken where the terminal ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

from cyclopts import App

_SECTION = "Parameters"


def prepare(command: App, names: Sequence[str]) -> None:
    """Let a command's help be told in our words; `names` are its own, as they are typed."""
    function = command.default_command
    if function is None:
        return
    command.usage = f"Usage: {usage(function, names)}"
    function.__doc__ = flowing(function.__doc__ or "")


def usage(function: Callable[..., Any], names: Sequence[str]) -> str:
    """How a command is called, every argument by its name, what may be left out in brackets."""
    words = ["liftlock", *names, "[OPTIONS]"]
    for parameter in inspect.signature(function).parameters.values():
        name = parameter.name.upper().replace("_", "-")
        if parameter.kind is Parameter.VAR_POSITIONAL:
            words.append(f"[{name.removesuffix('S')}...]")
        elif parameter.kind is Parameter.POSITIONAL_ONLY:
            words.append(name if parameter.default is Parameter.empty else f"[{name}]")
    return " ".join(words)


def flowing(docstring: str) -> str:
    """A docstring with a paragraph on one line each, so that whoever shows it breaks it anew."""
    lines: list[str] = []
    is_in_section = False
    for line in inspect.cleandoc(docstring).split("\n"):
        is_in_section = is_in_section or line == _SECTION
        is_text = bool(line.strip()) and (line[:1] == " " or not is_in_section)
        goes_on = bool(lines) and bool(lines[-1].strip()) and _indent(lines[-1]) == _indent(line)
        if is_text and goes_on:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
