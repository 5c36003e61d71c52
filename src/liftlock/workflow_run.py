"""The run of GitHub Actions that a process is a part of: who started it, and who reviewed it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from liftlock.http import Http, field, optional
from liftlock.model import Review, WorkflowRun
from liftlock.tasks import together

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


class GitHubRun:
    """`ports.Workflow`: a run of a repository's workflow, over GitHub's REST API."""

    def __init__(self, http: Callable[[], Http], repository: str, number: str) -> None:
        """`http` is called at the first request."""
        self._http = http
        self._path = f"/repos/{quote(repository)}/actions/runs/{number}"

    async def run(self) -> WorkflowRun:
        """Source: GitHub REST, "Get a workflow run" and "Get the review history for a workflow run"."""
        run, reviews = await together(
            lambda: self._http().request("GET", self._path),
            lambda: self._http().request("GET", f"{self._path}/approvals"),
        )
        payload = run.object()
        people = (optional(payload, f"{role}.login", str) for role in ("actor", "triggering_actor"))
        return WorkflowRun(
            started_by=tuple(dict.fromkeys(account for account in people if account)),
            attempt=optional(payload, "run_attempt", int) or 1,
            is_running=field(payload, "status", str) == "in_progress",
            reviews=tuple(map(_review, reviews.objects())),
        )


def _review(payload: Mapping[str, Any]) -> Review:
    environments = field(payload, "environments", list)
    return Review(
        account=optional(payload, "user.login", str) or "",
        approved=field(payload, "state", str) == "approved",
        environments=tuple(
            str(one["name"]) for one in environments if isinstance(one, dict) and "name" in one
        ),
    )


def run_of(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The repository and the number of the run that these variables are of; None for those of no run."""
    repository, number = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
    listens = environ.get("GITHUB_ACTIONS") == "true"
    return (
        (repository, number) if listens and _REPOSITORY.fullmatch(repository) and number.isdecimal() else None
    )
