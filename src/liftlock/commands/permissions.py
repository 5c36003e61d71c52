"""What a token has to be allowed to do at GitHub, repository by repository: a pure function of the project.

The names are those of GitHub's fine-grained permissions, as a personal token, a GitHub App and a
workflow's `permissions:` spell them. "metadata: read" comes with every token and is not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liftlock.model import Project


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission in one repository, and what liftlock does with it."""

    repository: str
    name: str
    """As a workflow spells it: `contents`, `deployments`, `pull-requests`, …"""
    writes: bool
    why: tuple[str, ...]

    @property
    def level(self) -> str:
        return "write" if self.writes else "read"


def permissions(project: Project, *, gates: bool = True) -> tuple[Permission, ...]:
    """Everything that status, deploy, promote, rollback and resume need, the strongest level of each.

    Without `gates`, what only a promotion's gates look at is left out: a deploy passes none.

    By repository: the project's own first, the others by name. Source: GitHub REST, "Permissions
    required for fine-grained personal access tokens".
    """
    needs: dict[tuple[str, str], Permission] = {}

    def need(repository: str, name: str, why: str, *, writes: bool = False) -> None:
        known = needs.get((repository, name))
        reasons = dict.fromkeys((*(known.why if known else ()), why))
        stronger = writes or (known is not None and known.writes)
        needs[repository, name] = Permission(repository, name, stronger, tuple(reasons))

    home = project.repository
    guarded = [environment.gates for environment in project.environments.values()] if gates else []
    for repository in repositories(project):
        need(repository, "contents", "reads commits and what lies between them")
        need(repository, "pull-requests", "reads which pull request a commit came with")
        if any(gate.checks for gate in guarded):
            need(repository, "checks", "reads the checks that a gate asks for")
            need(repository, "statuses", "reads the commit statuses that a gate asks for")
    if project.ledger == "github":
        need(home, "deployments", "writes the intents of promotions, and approvals", writes=True)
        for app in project.apps.values():
            for record in app.records.values():
                need(record.repository, "deployments", "writes its apps' deployment records", writes=True)
        need(project.lease or home, "contents", "takes the lease: refs below refs/liftlock/", writes=True)
        if any(gate.approvals for gate in guarded):
            need(home, "actions", "reads who reviewed the workflow's run")
    return tuple(sorted(needs.values(), key=lambda p: (p.repository != home, p.repository, p.name)))


def repositories(project: Project) -> tuple[str, ...]:
    """The repositories whose commits the project's apps are made from; its own comes first."""
    return tuple(dict.fromkeys([project.repository, *sorted({a.repository for a in project.apps.values()})]))


def by_repository(project: Project) -> Mapping[str, tuple[Permission, ...]]:
    """`permissions`, by repository."""
    found = permissions(project)
    return {
        name: tuple(p for p in found if p.repository == name) for name in {p.repository: 0 for p in found}
    }


def strongest(found: tuple[Permission, ...]) -> Mapping[str, str]:
    """By permission, the strongest level that any repository needs: a token has one for all of its own."""
    levels: dict[str, str] = {}
    for permission in sorted(found, key=lambda p: p.name):
        if permission.writes or permission.name not in levels:
            levels[permission.name] = permission.level
    return levels
