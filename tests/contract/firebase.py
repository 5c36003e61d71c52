"""Firebase Hosting v1beta1, from Google's discovery document as google-api-python-client ships it.

The document's schemas are close to JSON Schema draft 3; what differs is rewritten: references by
name, `id`, and the type `any`. Uploads of files have no place in the document: they are bytes.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.protocols import Validator

from tests.contract.schemas import Operation, Vendor, closed, formats, path_pattern

# Google's error model, https://cloud.google.com/apis/design/errors: not part of the document.
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string", "pattern": "^[A-Z_]+$"},
                "details": {"type": "array"},
            },
        }
    },
}


def _as_json_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {k: _as_json_schema(v) for k, v in node.items()}
    if isinstance(node.get("$ref"), str):
        return {"$ref": f"#/definitions/{node['$ref']}"}
    if isinstance(node.get("id"), str):
        del node["id"]
    if node.get("type") == "any":
        del node["type"]
    return node


def load() -> Vendor | str:
    source = files("googleapiclient") / "discovery_cache" / "documents" / "firebasehosting.v1beta1.json"
    document = json.loads(source.read_text())
    definitions = closed(_as_json_schema(document["schemas"]))

    def validator(reference: dict[str, str] | None) -> Validator | None:
        if reference is None:
            return None
        schema = {"$ref": f"#/definitions/{reference['$ref']}", "definitions": definitions}
        return Draft4Validator(schema, format_checker=formats)

    anywhere = frozenset(document["parameters"])
    operations = [
        Operation(
            method["httpMethod"],
            path_pattern(f"/{method['flatPath']}"),
            anywhere | method["parameters"].keys(),
            validator(method.get("request")),
            {200: validator(method.get("response"))},
            body_optional=True,  # Google takes an absent message for an empty one
        )
        for method in _methods(document)
    ]
    upload = Operation("POST", path_pattern("/upload/{path+}"), anywhere, answers={200: None})
    return Vendor("Firebase Hosting", (*operations, upload), Draft4Validator(closed(_ERROR)))


def _methods(resource: dict[str, Any]) -> list[dict[str, Any]]:
    own = list(resource.get("methods", {}).values())
    return own + [m for each in resource.get("resources", {}).values() for m in _methods(each)]
