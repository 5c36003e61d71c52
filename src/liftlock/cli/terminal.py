"""A console that shows what a terminal would obey: vendors' words may hold escape sequences.

Everything that is printed goes through `render`, tables and progress too, so nobody has to think of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from liftlock.wording import printable


class Terminal(Console):
    """rich's console; only rich's own control codes and styles reach the terminal."""

    def on_broken_pipe(self) -> None:
        """Nobody reads any more: an error like others, where rich would end the process."""
        self.quiet = True
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`, every text made `printable`."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else printable(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)
