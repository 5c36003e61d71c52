"""Shows how far each app's publishing is, in blobs and bytes: drawn anew in a terminal, told now and then in logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from liftlock.cli.output import Output
from liftlock.commands.publish import Tell

TOLD_EVERY_S = 10.0
"""A log hears of an app this often at most, and of one that takes less long not at all."""


@contextmanager
def shown(output: Output, now: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """What to tell (app, what happens) while apps are published; with -v every word is kept."""
    if output.verbose:
        yield lambda app, text: output.aside(_line(app, text))
    elif output.is_live and not output.events:
        with _drawn(output) as tell:
            yield tell
    else:
        yield _now_and_then(output, now)


def _line(app: str, text: str) -> str:
    return f"  {app:<12} {text}"


@contextmanager
def _drawn(output: Output) -> Iterator[Tell]:
    """One line an app, always the newest; gone when it is over, since the result says it all."""
    from rich.live import Live
    from rich.text import Text

    newest: dict[str, str] = {}
    with Live(console=output.console, transient=True, refresh_per_second=4) as live:

        def tell(app: str, text: str) -> None:
            newest[app] = text
            lines = (_line(each, said) for each, said in newest.items())
            live.update(Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis"))

        yield tell


def _now_and_then(output: Output, now: Callable[[], float]) -> Tell:
    began = now()
    told: dict[str, float] = {}

    def tell(app: str, text: str) -> None:
        at = now()
        if at - told.get(app, began) >= TOLD_EVERY_S:
            told[app] = at
            output.line(_line(app, text))

    return tell
