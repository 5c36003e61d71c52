"""The API's description, made from its operations: OpenAPI 3.1."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from liftlock import __version__
from liftlock.web.api import routes
from liftlock.web.api.operations import BASE, OPERATIONS, Nothing, Operation

_SCHEMAS = "#/components/schemas/"
_PROBLEM = {
    "type": "object",
    "description": "What happened, and what to do next (RFC 9457).",
    "required": ["type", "title", "status", "detail", "exit_code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The error's kind."},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": ["string", "null"], "description": "What to do next."},
        "exit_code": {"type": "integer", "description": "As the command line would end."},
    },
}
TAGS = {
    "look": "Look at things. Nothing is changed.",
    "change": "Change something; every change is in the audit log.",
    "keep": "Yourself, tokens and the audit log.",
    "webhooks": "What GitHub sends.",
}


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    routes()
    shapes = {
        shape
        for operation in OPERATIONS
        for shape in (operation.body, *_models(operation.answer))
        if shape is not Nothing
    }
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, schemas = models_json_schema(
        [(shape, "validation") for shape in ordered], ref_template=_SCHEMAS + "{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(BASE + operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "liftlock",
            "version": __version__,
            "description": "What the command line does, through a server. Errors are problem documents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-liftlock",
                    "description": "Of somebody who is signed in; what changes something also needs the header "
                    "X-Liftlock-Form.",
                },
            },
        },
    }


def _models(answer: Any) -> list[type[BaseModel]]:
    if isinstance(answer, type) and issubclass(answer, BaseModel):
        return [answer]
    return [each for each in getattr(answer, "__args__", ()) if issubclass(each, BaseModel)]


def _described(operation: Operation) -> dict[str, Any]:
    summary, _, more = operation.about.partition("\n\n")
    problem = {
        "description": "It was not done: what happened, and what to do next.",
        "content": {"application/problem+json": {"schema": {"$ref": _SCHEMAS + "Problem"}}},
    }
    answer: dict[str, Any] = {
        "description": "Done.",
        "content": {"application/json": {"schema": _schema_of(operation.answer)}},
    }
    if operation.id == "run_events":
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": " ".join(summary.split()),
        "responses": {str(operation.status): answer, "default": problem},
    }
    if more or operation.right:
        needs = f"Needs the right `{operation.right}` for the environment." if operation.right else ""
        described["description"] = "\n\n".join(filter(None, (" ".join(more.split()), needs)))
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    schema = operation.query.model_json_schema()
    for name, each in schema.get("properties", {}).items():
        about = {key: value for key, value in each.items() if key not in {"title", "description", "examples"}}
        parameter = {"name": name, "in": "query", "schema": about}
        if "description" in each:
            parameter["description"] = each["description"]
        if name in schema.get("required", ()):
            parameter["required"] = True
        if each.get("examples"):
            parameter["example"] = each["examples"][0]
        parameters.append(parameter)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not Nothing:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema_of(operation.body)}},
        }
    elif operation.id == "webhook_github":
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": {}}}}
    if operation.is_open:
        described["security"] = []
    return described


def _schema_of(answer: Any) -> dict[str, Any]:
    if isinstance(answer, dict):
        return answer
    models = _models(answer)
    reference = {"$ref": _SCHEMAS + models[0].__name__}
    return (
        reference
        if isinstance(answer, type) and issubclass(answer, BaseModel)
        else {"type": "array", "items": reference}
    )
