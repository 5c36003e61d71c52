"""The registry and Slack: no machine-readable description is published, so these few lines are ours."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from tests.contract.schemas import Operation, Vendor, closed, path_pattern

# Source: OCI Distribution Specification 1.1, "API" and "Error Codes".
_REGISTRY_ERROR = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["code"],
                "properties": {"code": {"pattern": "^[A-Z_]+$"}, "message": {"type": "string"}, "detail": {}},
            },
        }
    },
}

# Source: Slack, "Sending messages using incoming webhooks"; blocks are looked at no further.
_MESSAGE = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "minLength": 1},
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"type": "string"}},
                "additionalProperties": True,
            },
        },
        "unfurl_links": {"type": "boolean"},
        "unfurl_media": {"type": "boolean"},
    },
}


def load_registry() -> Vendor | str:
    name = "/v2/{name+}"
    plain = [
        ("GET", "/v2/", (), (200,)),
        ("HEAD", f"{name}/blobs/{{digest}}", (), (200, 307)),
        ("GET", f"{name}/blobs/{{digest}}", (), (200, 206, 307)),
        ("HEAD", f"{name}/manifests/{{reference}}", (), (200,)),
        ("GET", f"{name}/manifests/{{reference}}", (), (200,)),
        ("PUT", f"{name}/manifests/{{reference}}", (), (201,)),
        ("POST", f"{name}/blobs/uploads/", ("mount", "from", "digest"), (201, 202)),
        ("PATCH", f"{name}/blobs/uploads/{{id}}", ("_state",), (202,)),
        ("PUT", f"{name}/blobs/uploads/{{id}}", ("_state", "digest"), (201,)),
        ("GET", f"{name}/blobs/uploads/{{id}}", ("_state",), (204,)),
        ("DELETE", f"{name}/blobs/uploads/{{id}}", ("_state",), (204,)),
        ("GET", f"{name}/tags/list", ("n", "last"), (200,)),
    ]
    return Vendor(
        "registry",
        tuple(
            Operation(
                method,
                path_pattern(path),
                frozenset(query),
                Draft202012Validator({}),
                dict.fromkeys(statuses),
                body_optional=True,
            )
            for method, path, query, statuses in plain
        ),
        Draft202012Validator(closed(_REGISTRY_ERROR)),
    )


def load_slack() -> Vendor | str:
    post = Operation(
        "POST",
        path_pattern("/services/{team}/{bot}/{secret}"),
        request=Draft202012Validator(closed(_MESSAGE)),
        answers={200: None},
    )
    return Vendor("Slack", (post,), None)
