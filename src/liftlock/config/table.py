"""What every table of `liftlock.toml` is made of: the kinds of values, and what editors are told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from liftlock.config import values, windows


class Table(BaseModel):
    """A table of the file. Unknown keys are mistakes, and no value is bent into another type."""

    # Built once, as part of the whole file and when it is first read: building is most of an import.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def text(check: Callable[[str], str], pattern: str = r"\S", **more: Any) -> tuple[Any, Any]:
    """What makes a string a checked one: its check, and what editors are told of it."""
    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": pattern, **more})


def text_or_table(check: Callable[[object], Any], pattern: str = r"\S") -> tuple[Any, Any]:
    """What makes a value a checked text, or a table with one for each environment."""
    one = {"type": "string", "pattern": pattern}
    table = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
    return PlainValidator(check), WithJsonSchema({"anyOf": [one, table]})


Secret = Annotated[str, *text(values.secret_reference, f"^{values.SECRET}$")]
Name = Annotated[str, *text(values.name, f"^{values.NAME}$")]
ProcessType = Annotated[str, *text(values.process_type, f"^{values.PROCESS}$")]
Repository = Annotated[str, *text(values.repository, f"^{values.REPOSITORY}$")]
Registry = Annotated[str, *text(values.registry, f"^{values.REGISTRY}$")]
Image = Annotated[str, *text(values.image, f"^{values.IMAGE}$")]
Duration = Annotated[str, *text(values.duration, f"^{values.DURATION}$")]
Window = Annotated[str, *text(windows.window)]
Freeze = Annotated[str, *text(windows.freeze)]
HealthPath = Annotated[str, *text(values.health_path, f"^{values.HEALTH}$")]
RelativePath = Annotated[str, *text(values.relative_path, "^[^/]")]
Filled = Annotated[str, *text(values.not_empty)]
Template = Annotated[str, *text(values.template)]
Task = Annotated[str, *text(values.record_task)]
Secrets = Annotated[str | dict[str, str], *text_or_table(values.secret_references, "^(env|keyring):")]
Endpoint = Annotated[str, *text(values.endpoint, "^https?://", format="uri")]
Ledger = Annotated[str, *text(values.ledger)]
DockerHost = Annotated[str, *text(values.docker_host, "^(unix|ssh|tcp)://")]
ServiceName = Annotated[str, *text(values.service_name, f"^{values.SERVICE}$")]
Arguments = Annotated[list[str], AfterValidator(values.arguments), Field(min_length=1)]
ArgumentTemplates = Annotated[list[str], AfterValidator(values.argument_templates), Field(min_length=1)]
PathPattern = Annotated[str, *text(values.path_pattern)]
BuildCommand = Annotated[str, *text(values.build_command)]
BuildPlatform = Annotated[str, *text(values.build_platform, f"^{values.BUILD_PLATFORM}$")]
BuildSecret = Annotated[str, *text(values.build_secret, f"^{values.BUILD_SECRET}$")]
VariableName = Annotated[str, *text(values.variable_name, f"^{values.VARIABLE}$")]
MountId = Annotated[str, *text(values.mount_id, f"^{values.MOUNT_ID}$")]
Variables = Annotated[list[str], AfterValidator(values.variable_names)]
Names = Annotated[str | dict[str, str], *text_or_table(values.names_by_environment)]
Registries = Annotated[str | dict[str, str], *text_or_table(values.registries)]
Addresses = Annotated[str | dict[str, str], *text_or_table(values.addresses, "^https?://")]
Checks = Annotated[
    bool | list[str],
    PlainValidator(values.required_checks),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "boolean"},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": r"\S"},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
