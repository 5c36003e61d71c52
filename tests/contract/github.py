"""GitHub's REST API, from the models that githubkit generates from GitHub's own OpenAPI description.

The models become JSON Schemas again. What is lost on the way: in answers, an optional field may
also be null, since the models do not tell the two apart.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from pydantic import BaseModel, TypeAdapter

from tests.contract.schemas import Operation, Vendor, closed, formats, path_pattern

_REPO = "/repos/{owner}/{repo}"
_PAGE = frozenset({"per_page", "page"})


def _without_unset(node: Any, *, nullable: bool) -> Any:
    """The schema without githubkit's marker of absent fields, and without null where it says so."""
    if isinstance(node, list):
        return [_without_unset(each, nullable=nullable) for each in node]
    if not isinstance(node, dict):
        return node
    node = {k: _without_unset(v, nullable=nullable) for k, v in node.items()}
    choices = node.get("anyOf")
    if isinstance(choices, list) and {"const": "<UNSET>", "type": "string"} in choices:
        node.pop("default", None)
        node["anyOf"] = [
            choice
            for choice in choices
            if choice != {"const": "<UNSET>", "type": "string"} and (nullable or choice != {"type": "null"})
        ]
    return node


def _validator(model: Any, *, nullable: bool) -> Validator:
    schema = closed(_without_unset(TypeAdapter(model).json_schema(), nullable=nullable))
    return Draft202012Validator(schema, format_checker=formats)


def _sent(model: type[BaseModel]) -> Validator:
    """As sent by us: an absent field is absent, never null."""
    return _validator(model, nullable=False)


def _answered(model: Any) -> Validator:
    return _validator(model, nullable=True)


def load() -> Vendor | str:
    from githubkit_schemas.v2022_11_28 import models

    deployment = _answered(models.Deployment)
    status = _answered(models.DeploymentStatus)
    ref = _answered(models.GitRef)
    commit = _answered(models.GitCommit)

    def get(path: str, answer: Validator | None, *query: str, status: int = 200) -> Operation:
        return Operation("GET", path_pattern(path), frozenset(query), answers={status: answer})

    def send(
        method: str, path: str, model: type[BaseModel], answer: Validator, status: int = 201
    ) -> Operation:
        return Operation(method, path_pattern(path), request=_sent(model), answers={status: answer})

    body = models.ReposOwnerRepoGitRefsPostBody
    return Vendor(
        "GitHub",
        (
            get(
                f"{_REPO}/deployments",
                _answered(list[models.Deployment]),
                "sha",
                "ref",
                "task",
                "environment",
                *_PAGE,
            ),
            send("POST", f"{_REPO}/deployments", models.ReposOwnerRepoDeploymentsPostBody, deployment),
            get(f"{_REPO}/deployments/{{id}}", deployment),
            get(f"{_REPO}/deployments/{{id}}/statuses", _answered(list[models.DeploymentStatus]), *_PAGE),
            send(
                "POST",
                f"{_REPO}/deployments/{{id}}/statuses",
                models.ReposOwnerRepoDeploymentsDeploymentIdStatusesPostBody,
                status,
            ),
            get(f"{_REPO}/git/ref/{{ref+}}", ref),
            get(f"{_REPO}/git/matching-refs/{{ref+}}", _answered(list[models.GitRef])),
            send("POST", f"{_REPO}/git/refs", body, ref),
            send("PATCH", f"{_REPO}/git/refs/{{ref+}}", models.ReposOwnerRepoGitRefsRefPatchBody, ref, 200),
            Operation("DELETE", path_pattern(f"{_REPO}/git/refs/{{ref+}}"), answers={204: None}),
            get(f"{_REPO}/git/commits/{{sha}}", commit),
            send("POST", f"{_REPO}/git/commits", models.ReposOwnerRepoGitCommitsPostBody, commit),
            send(
                "POST",
                f"{_REPO}/git/blobs",
                models.ReposOwnerRepoGitBlobsPostBody,
                _answered(models.ShortBlob),
            ),
            get(f"{_REPO}/git/blobs/{{sha}}", _answered(models.Blob)),
            send(
                "POST", f"{_REPO}/git/trees", models.ReposOwnerRepoGitTreesPostBody, _answered(models.GitTree)
            ),
            send("POST", f"{_REPO}/git/tags", models.ReposOwnerRepoGitTagsPostBody, _answered(models.GitTag)),
            get(f"{_REPO}/git/tags/{{sha}}", _answered(models.GitTag)),
            get(f"{_REPO}/compare/{{basehead+}}", _answered(models.CommitComparison), *_PAGE),
            get(
                f"{_REPO}/commits/{{ref}}/check-runs",
                _answered(models.ReposOwnerRepoCommitsRefCheckRunsGetResponse200),
                "check_name",
                *_PAGE,
            ),
            send(
                "POST",
                f"{_REPO}/statuses/{{sha}}",
                models.ReposOwnerRepoStatusesShaPostBody,
                _answered(models.Status),
            ),
            get(f"{_REPO}/actions/runs/{{run_id}}", _answered(models.WorkflowRun)),
            get(f"{_REPO}/actions/runs/{{run_id}}/approvals", _answered(list[models.EnvironmentApprovals])),
            get(f"{_REPO}/commits/{{sha}}/pulls", _answered(list[models.PullRequestSimple]), *_PAGE),
            get(f"{_REPO}/commits/{{ref}}/status", _answered(models.CombinedCommitStatus), *_PAGE),
            get(f"{_REPO}/commits/{{ref}}", _answered(models.Commit), *_PAGE),
            get(f"{_REPO}/tarball/{{ref+}}", None, status=302),
            get(f"{_REPO}/tarball", None, status=302),
            get(_REPO, _answered(models.FullRepository)),
            get("/user", _answered(models.PrivateUser | models.PublicUser)),
            get("/rate_limit", _answered(models.RateLimitOverview)),
        ),
        error=_answered(models.BasicError | models.ValidationError | models.ValidationErrorSimple),
    )
