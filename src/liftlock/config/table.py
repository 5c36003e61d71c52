"""What every table of `liftlock.toml` is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from liftlock.config import values


class Table(BaseModel):
    """A table of the file. Unknown keys are mistakes, and no value is bent into another type."""

    # Built once, as part of the whole file and when it is first read: building is most of an import.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def text(check: Callable[[str], str], pattern: str = r"\S", **more: Any) -> tuple[Any, Any]:
    """What makes a string a checked one: its check, and what editors are told of it."""
    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": pattern, **more})


Secret = Annotated[str, *text(values.secret_reference, f"^{values.SECRET}$")]
