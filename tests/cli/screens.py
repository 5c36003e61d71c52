"""What a terminal of some width shows, and what is written to it."""

from __future__ import annotations

from io import StringIO

from liftlock.cli.output import Output
from liftlock.cli.terminal import Terminal


class Screen(Output):
    """An output to a terminal that was never there."""

    def __init__(self, width: int, *, color: bool = True, verbose: bool = False) -> None:
        super().__init__(color=color, verbose=verbose)
        self.file = StringIO()
        self._people = Terminal(
            file=self.file,
            width=width,
            force_terminal=True,
            color_system="standard" if color else None,
            no_color=not color,
            highlight=False,
            emoji=False,
            markup=False,
            legacy_windows=False,
            _environ={"TERM": "xterm-256color"},
        )

    @property
    def written(self) -> str:
        """Every byte, escape sequences and all."""
        return self.file.getvalue()

    @property
    def lines(self) -> list[str]:
        """What a person sees."""
        from rich.text import Text

        return [line.rstrip() for line in Text.from_ansi(self.written).plain.splitlines()]
