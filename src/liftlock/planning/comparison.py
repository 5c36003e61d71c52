"""How what is recorded in one environment differs from what is recorded in another. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from liftlock.model import Artifact, Between, Commit, Deployment, Relation, mainline, same_artifact


class Standing(StrEnum):
    """How an app in the source stands to the same app in the target."""

    UNCHANGED = "unchanged"
    """The same artifacts, whatever commits the records name."""
    AHEAD = "ahead"
    REBUILT = "rebuilt"
    """Other artifacts of the same commit."""
    BEHIND = "behind"
    """The target's commit comes after the source's."""
    DIVERGED = "diverged"
    FIRST = "first"
    """Nothing is recorded in the target."""
    ABSENT = "absent"
    """Nothing is recorded in the source."""
    UNKNOWN = "unknown"
    """Other artifacts, and how the commits stand to each other could not be told."""


@dataclass(frozen=True, slots=True)
class PartChange:
    """A process type, site or command whose artifact differs; None where one side has no such part."""

    part: str
    before: Artifact | None
    after: Artifact | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an app's artifacts weigh as they are sent, every blob counted once."""

    before_bytes: int
    after_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class AppComparison:
    """One app in the source, compared with the target."""

    app: str
    repository: str
    source: Deployment | None
    target: Deployment | None
    between: Between | None = None
    """From the target's commit to the source's; None where it was not asked or could not be told."""
    sizes: Sizes | None = None
    migrations: tuple[str, ...] | None = ()
    """Those that changed; None where they could not be told."""
    note: str = ""
    """Why something is missing."""

    @property
    def standing(self) -> Standing:
        if self.source is None:
            return Standing.ABSENT
        if self.target is None:
            return Standing.FIRST
        if not self.changes:
            return Standing.UNCHANGED
        if self.source.release.commit == self.target.release.commit:
            return Standing.REBUILT
        if self.between is None:
            return Standing.UNKNOWN
        return _STANDINGS[self.between.relation]

    @property
    def changes(self) -> tuple[PartChange, ...]:
        """The parts whose artifacts differ, by name."""
        before = self.target.release.artifacts if self.target else {}
        after = self.source.release.artifacts if self.source else {}
        return tuple(
            PartChange(part, before.get(part), after.get(part))
            for part in sorted(before.keys() | after.keys())
            if not (part in before and part in after and same_artifact(before[part], after[part]))
        )

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The commits that the source has and the target lacks, newest first."""
        return self.between.commits if self.between else ()

    @property
    def told(self) -> tuple[Commit, ...]:
        """Of the commits, those that say what changed: what a merge brought is told by the merge,
        unless it names a pull request of its own."""
        main = {commit.sha: commit.pull_request for commit in mainline(self.commits)}
        numbers = set(main.values())
        return tuple(c for c in self.commits if c.sha in main or c.pull_request not in {None, *numbers})

    @property
    def range(self) -> tuple[str, str, str]:
        """The repository, and the target's and the source's commit; "" where there is none."""
        base, head = (d.release.commit if d else "" for d in (self.target, self.source))
        return self.repository, base, head


_STANDINGS = {
    Relation.AHEAD: Standing.AHEAD,
    Relation.SAME: Standing.REBUILT,
    Relation.BEHIND: Standing.BEHIND,
    Relation.DIVERGED: Standing.DIVERGED,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `liftlock diff` shows."""

    project: str
    source: str
    target: str
    apps: tuple[AppComparison, ...]

    @property
    def unchanged(self) -> tuple[AppComparison, ...]:
        return tuple(app for app in self.apps if app.standing in {Standing.UNCHANGED, Standing.ABSENT})

    @property
    def groups(self) -> tuple[tuple[AppComparison, ...], ...]:
        """The apps that differ; those of the same two commits are together, for the same commits lie between."""
        found: dict[tuple[str, str, str], list[AppComparison]] = {}
        for app in self.apps:
            if app not in self.unchanged:
                found.setdefault(app.range, []).append(app)
        return tuple(tuple(group) for group in found.values())


def authors(commits: tuple[Commit, ...]) -> tuple[str, ...]:
    """Everybody who wrote one of the commits, once, in order of their names."""
    return tuple(sorted({commit.author or commit.login for commit in commits} - {""}, key=str.casefold))


def sizes(
    before: Mapping[str, Mapping[str, int]] | None, after: Mapping[str, Mapping[str, int]] | None
) -> Sizes | None:
    """What two sets of artifacts weigh, by their parts' blobs; None where one side is not known."""
    if not before or not after:
        return None
    old = {digest: size for blobs in before.values() for digest, size in blobs.items()}
    new = {digest: size for blobs in after.values() for digest, size in blobs.items()}
    return Sizes(
        sum(old.values()), sum(new.values()), sum(size for digest, size in new.items() if digest in old)
    )
