"""Near names, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, begun: bool = True) -> str:
    """The known name that was most likely meant, or "" when none is near.

    `begun` takes the beginning of a name, as people abbreviate it, for near as well.
    """
    from difflib import get_close_matches  # not needed unless somebody mistyped

    by_folded = {k.casefold(): k for k in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    if found:
        return by_folded[found[0]]
    longer = [k for k in by_folded if begun and len(name) > 2 and k.startswith(name.casefold())]
    return by_folded[longer[0]] if len(longer) == 1 else ""
