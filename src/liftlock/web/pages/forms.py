"""What a form says, read without believing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse

from liftlock.errors import UsageError
from liftlock.model import Project

MOST_BYTES = 64 * 1024
MOST_FIELDS = 500


class Form:
    """The fields of a form; what is absent is ""."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def one(self, name: str) -> str:
        return next(iter(self._fields.get(name, ())), "").strip()

    def every(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value.strip() for value in self._fields.get(name, ()) if value.strip()))

    def has(self, name: str) -> bool:
        return bool(self.one(name))


async def read_form(request: Request) -> Form:
    """The form that a request brings. Raises `UsageError` for what is none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise UsageError(f"The form is larger than {MOST_BYTES} bytes.")
    try:
        return Form(
            parse_qs(
                body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
            )
        )
    except ValueError as error:
        raise UsageError("What was sent is no form.") from error


def overrides_of(form: Form) -> dict[str, str]:
    """The gates to pass, each with the reason. Raises `UsageError` where one is said without the other."""
    gates, reason = form.every("override"), form.one("reason")
    if gates and not reason:
        raise UsageError(
            f"Overriding {' and '.join(gates)} needs a reason.",
            hint="It is recorded, and told to whoever is notified.",
        )
    return dict.fromkeys(gates, reason)


def check_typed(project: Project, environment: str, form: Form) -> None:
    """Raises `UsageError` where the environment's name must be typed and was not."""
    if environment in project.serve.confirm and form.one("confirm") != environment:
        raise UsageError(
            f"Type the name of the environment, {environment}, to say that you mean it.",
            hint="Nothing was changed.",
        )


def seen_at(address: str) -> RedirectResponse:
    """After a form: to a page that can be loaded again without sending the form again."""
    return RedirectResponse(address, status_code=303, headers={"cache-control": "no-store"})
