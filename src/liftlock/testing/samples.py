"""What the contract of ledgers writes and reads: releases of every kind, a promotion, a backup."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from liftlock.model import (
    App,
    Artifacts,
    Backup,
    BundleId,
    CommitId,
    Environment,
    ImageId,
    Kind,
    Project,
    RecordName,
    Release,
    SiteVersion,
    Target,
)
from liftlock.ports import NewDeployment, NewIntent

COMMITS = ("1" * 40, "2" * 40, "3" * 40)
REPOSITORY = "example/services"
APPS = ("SSO", "ITC", "ODB", "Explore", "ResourceUI", "AdminUI", "preferences", "RESOURCE")
"""The apps whose records the contract reads; some never get one."""
ENVIRONMENTS = ("dev", "staging", "production")


def sample_project(ledger: str = "memory") -> Project:
    """A project of those apps, for a ledger that wants to know its project."""
    apps = {}
    for name in APPS:
        targets = {e: Target(name, e, "heroku", f"{name.lower()}-{e}") for e in ENVIRONMENTS}
        records = {e: RecordName(REPOSITORY, f"deploy:{name}", e) for e in ENVIRONMENTS}
        apps[name] = App(name, "heroku", REPOSITORY, targets, records)
    environments = {
        name: Environment(name, tuple(below))
        for name, *below in (("dev",), ("staging", "dev"), ("production", "staging"))
    }
    return Project("observatory", REPOSITORY, ledger, 0.0, environments, apps, {})


def image(letter: str) -> ImageId:
    return ImageId("sha256:" + letter * 64)


def containers(app: str = "SSO", letter: str = "a", commit: str = COMMITS[0]) -> Release:
    return Release(app, commit, {"web": image(letter)})


RELEASES: Mapping[str, Release] = {
    "SSO": containers(),
    "ODB": Release("ODB", COMMITS[1], {"web": image("b"), "calibration": image("c"), "obscalc": image("d")}),
    "Explore": Release(
        "Explore", COMMITS[2], {"site": SiteVersion("sites/explore-gemini-dev/versions/7", "9" * 64)}
    ),
    "preferences": Release("preferences", COMMITS[2], {"commit": CommitId(COMMITS[2])}),
    "RESOURCE": Release("RESOURCE", COMMITS[0], {"files": BundleId("sha256:" + "e" * 64)}),
}
BACKUP = Backup(
    id="b042",
    database="postgresql-curly-1",
    app="SSO",
    service="heroku",
    size_bytes=123_456,
    started_at=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
    finished_at=datetime(2026, 11, 1, 12, 0, 9, 500_000, tzinfo=UTC),
)


def new_intent(key: str = "key-1", environment: str = "staging", **more: Any) -> NewIntent:
    before: Mapping[str, Artifacts] = {"SSO": {"web": image("0")}, "Explore": {}}
    return NewIntent(
        **{
            "key": key,
            "kind": Kind.PROMOTION,
            "environment": environment,
            "source": "dev",
            "plan_digest": "sha256:" + "5" * 64,
            "releases": RELEASES,
            "replaced": {"SSO": "17"},
            "before": before,
            "overrides": {"soak": "the sky is clear tonight"},
            "expected_backups": ("postgresql-curly-1",),
            **more,
        }
    )


def new_deployment(
    release: Release, intent_id: str, environment: str = "staging", **more: Any
) -> NewDeployment:
    return NewDeployment(
        **{
            "app": release.app,
            "environment": environment,
            "release": release,
            "promotion": intent_id,
            "kind": Kind.PROMOTION,
            "source_environment": "dev",
            "source_deployment": "16",
            "replaced": "15",
            "backups": (BACKUP,),
            "description": "from dev",
            **more,
        }
    )
