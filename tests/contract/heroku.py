"""Heroku's Platform API, from the hyper-schema that Heroku publishes, and what Heroku does not publish.

The published document (`schema.json` of github.com/heroku/platform-api, MIT) is in no current
package and is not part of this repository. It is read from the folder that `LIFTLOCK_SCHEMAS` names,
else from `../shared/schemas`. `heroku_unpublished.json` is ours, with the source of every part.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.contract.schemas import Operation, Vendor, closed, formats, path_pattern

_ROOT = Path(__file__).parents[2]
_FILE = "heroku-platform-api.schema.json"
_PUBLISHED = "urn:heroku"


def published() -> Path:
    folder = os.environ.get("LIFTLOCK_SCHEMAS")
    return (Path(folder) if folder else _ROOT.parent / "shared" / "schemas") / _FILE


def load() -> Vendor | str:
    if not published().is_file():
        return f"{_FILE} of github.com/heroku/platform-api is not here; LIFTLOCK_SCHEMAS names its folder"
    document = json.loads(published().read_text())
    ours = unpublished()
    for name, additions in ours["additions"].items():
        _merge(document["definitions"][name], additions)
    for addition in ours["link_additions"]:
        for link in document["definitions"][addition["definition"]]["links"]:
            if (link["method"], link["title"]) == (addition["method"], addition["title"]):
                _merge(link["schema"], addition["schema"])
    for definition in document["definitions"].values():
        # github.com/brandur/json_schema, which the keyword is of: all are required, and no other is allowed.
        if definition.get("strictProperties") and "properties" in definition:
            definition.setdefault("required", [n for n in definition["properties"] if n != "docker_image"])
    document = closed(document)
    registry: Registry[Any] = Registry().with_resource(
        _PUBLISHED, Resource.from_contents(document, default_specification=DRAFT4)
    )

    def validator(schema: dict[str, Any] | None) -> Validator | None:
        if schema is None:
            return None
        return Draft4Validator(_absolute(closed(schema)), registry=registry, format_checker=formats)

    operations = []
    for definition in document["definitions"].values():
        for link in definition.get("links", ()):
            answer = validator(link.get("targetSchema"))
            good = {201: answer, 200: answer} if link["method"] == "POST" else {200: answer, 206: answer}
            if link["method"] == "DELETE":
                good[202] = answer
            operations.append(
                Operation(
                    link["method"],
                    path_pattern(link["href"]),
                    frozenset(),
                    validator(link.get("schema")),
                    good,
                )
            )
    return Vendor("Heroku", tuple(operations), validator(ours["error"]))


def load_data() -> Vendor | str:
    """Heroku's data API: backups. Wholly unpublished."""
    ours = unpublished()
    error = Draft4Validator(closed(ours["error"]), format_checker=formats)
    operations = []
    for each in ours["data"]["operations"]:
        answer = Draft4Validator(
            {**each["answer"], "definitions": closed(ours["data"]["definitions"])}, format_checker=formats
        )
        request = Draft4Validator(closed(each["request"])) if "request" in each else None
        operations.append(
            Operation(
                each["method"],
                path_pattern(each["path"]),
                frozenset(each.get("query", ())),
                request,
                dict.fromkeys(each["statuses"], answer),
            )
        )
    return Vendor("Heroku data", tuple(operations), error)


def unpublished() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(__file__).parent / "heroku_unpublished.json").read_text())
    return document


def _merge(into: dict[str, Any], additions: dict[str, Any]) -> None:
    for key, value in additions.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _absolute(node: Any) -> Any:
    """The schema with its references pointing into the published document."""
    if isinstance(node, list):
        return [_absolute(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {k: _PUBLISHED + v if k == "$ref" and v.startswith("#") else _absolute(v) for k, v in node.items()}
