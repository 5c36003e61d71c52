"""The order of apps: who goes after whom when only some of them change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter

Predecessors = Mapping[str, Collection[str]]
"""By app, the apps that must be up before it. Without cycles: the configuration refuses them."""


def predecessors(after: Predecessors, changing: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each changing app, the nearest changing apps that must be up before it.

    An app that does not change is passed through: in `a after b after c` with b unchanged, a
    still goes after c.
    """
    chosen = set(changing)
    nearest: dict[str, tuple[str, ...]] = {}
    for app in TopologicalSorter(after).static_order():
        found: dict[str, None] = {}
        for other in after.get(app, ()):
            for name in (other,) if other in chosen else nearest[other]:
                found[name] = None
        nearest[app] = tuple(found)
    return {app: nearest.get(app, ()) for app in changing}


def descendants(before: Predecessors, roots: Collection[str]) -> set[str]:
    """Every app that directly or indirectly goes after one of `roots`."""
    followers: dict[str, list[str]] = {}
    for app, others in before.items():
        for other in others:
            followers.setdefault(other, []).append(app)
    found: set[str] = set()
    queue = list(roots)
    while queue:
        for follower in followers.get(queue.pop(), ()):
            if follower not in found:
                found.add(follower)
                queue.append(follower)
    return found


def depth(before: Predecessors) -> int:
    """The number of apps on the longest path; 0 for none."""
    depths: dict[str, int] = {}
    for app in TopologicalSorter(before).static_order():
        depths[app] = 1 + max((depths[other] for other in before.get(app, ())), default=0)
    return max(depths.values(), default=0)
