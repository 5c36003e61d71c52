"""An operation of the API: what it takes and gives, in types, and the handler that does it.

The types check what is sent, and the OpenAPI document is made from them: neither can say what the
other does not.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from liftlock.documents.wire import MEDIA_TYPE as MODEL
from liftlock.documents.wire import to_wire
from liftlock.errors import LiftlockError, UsageError, ungrouped
from liftlock.naming import nearest
from liftlock.web.access.access import Access, access_of
from liftlock.web.access.audit import forbidden
from liftlock.web.access.people import Forbidden, Person, Right, person_of, require
from liftlock.web.api.problem import NoSuchThing, problem
from liftlock.web.reading import Reading
from liftlock.web.site import Site, site_of
from liftlock.wording import printable_json

_LOG = logging.getLogger("liftlock.api")
BASE = "/api/v1"


class Shape(BaseModel):
    """What is sent or answered. Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Shape):
    """No parameters, or no body."""


Q = TypeVar("Q", bound=Shape)
B = TypeVar("B", bound=Shape)


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """One request to an operation, its parameters and body checked."""

    request: Request
    query: Q
    body: B

    @property
    def site(self) -> Site:
        return site_of(self.request)

    @property
    def reading(self) -> Reading:
        """What can be looked at: as it is now for whoever says `Cache-Control: no-cache` (RFC 9111, section 5.2.1.4)."""
        said = self.request.headers.get("cache-control", "")
        wants_now = "no-cache" in {each.strip().lower() for each in said.split(",")}
        return self.site.reading.anew() if wants_now else self.site.reading

    @property
    def access(self) -> Access:
        return access_of(self.request)

    @property
    def person(self) -> Person:
        """Whoever asks. Raises `SignInNeeded`."""
        return person_of(self.request)

    def require(self, right: Right, environment: str) -> Person:
        """Whoever asks, if they may. Raises `NoSuchThing`, `Forbidden` or `SignInNeeded`."""
        person = self.person
        known = list(self.site.project.environments)
        if environment not in known:
            near = nearest(environment, known)
            raise NoSuchThing(
                f"There is no environment {environment[:60]!r}.", hint=f"Did you mean {near}?" if near else ""
            )
        return require(self.request, right, environment) if person else person

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


@dataclass(frozen=True)
class Told:
    """An answer in two forms: the document of `--json`, and the model's own value for `liftlock --server`."""

    document: Any
    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call[Any, Any]], Awaitable[Told | Response]]


@dataclass(frozen=True)
class Operation:
    """One operation; `handler`'s own description is the document's."""

    method: str
    path: str
    handler: Handler
    tag: str
    query: type[Shape]
    body: type[Shape]
    answer: Any
    """The answer's type, or a schema."""
    status: int
    right: Right | None
    media_type: str
    is_open: bool
    """Whether it can be asked without being signed in."""

    @property
    def id(self) -> str:
        return self.handler.__name__

    @property
    def about(self) -> str:
        return inspect.cleandoc(self.handler.__doc__ or "")


OPERATIONS: list[Operation] = []


def operation(
    method: str,
    path: str,
    *,
    tag: str,
    answer: Any,
    status: int = 200,
    right: Right | None = None,
    media_type: str = "application/json",
    is_open: bool = False,
) -> Callable[[Handler], Handler]:
    """Makes a handler an operation of the API; what it takes is read from `Call[QUERY, BODY]`."""

    def made(handler: Handler) -> Handler:
        query, body = get_type_hints(handler)["call"].__args__
        OPERATIONS.append(
            Operation(method, path, handler, tag, query, body, answer, status, right, media_type, is_open)
        )
        return handler

    return made


def route(operation: Operation) -> Route:
    """An operation as Starlette serves it."""

    async def endpoint(request: Request) -> Response:
        try:
            if not operation.is_open:
                person_of(request)
            with ungrouped():
                call = Call(request, _query(operation.query, request), await _body(operation.body, request))
                told = await operation.handler(call)
        except Forbidden as error:
            await forbidden(request, error)
            return problem(error)
        except LiftlockError as error:
            return problem(error)
        except Exception as error:  # noqa: BLE001 - the edge: a defect is told as one, its traceback goes into the log
            _LOG.exception("%s failed", operation.id)
            return problem(
                LiftlockError(
                    f"liftlock itself failed: {type(error).__name__}.",
                    hint="That is a defect: please report it, with the server's log.",
                ),
                500,
            )
        return told if isinstance(told, Response) else _answer(request, told, operation.status)

    return Route(BASE + operation.path, endpoint, methods=[operation.method], name=operation.id)


def _answer(request: Request, told: Told, status: int) -> Response:
    headers = {"cache-control": "no-store", "vary": "accept", **told.headers}
    code = told.status if told.status != 200 else status
    if told.value is not None and MODEL in request.headers.get("accept", ""):
        return Response(json.dumps(to_wire(told.value)), code, headers, MODEL)
    if code == 204:
        return Response(None, 204, headers)
    return Response(
        printable_json(json.dumps(told.document, ensure_ascii=False)), code, headers, "application/json"
    )


def _query(shape: type[Shape], request: Request) -> Shape:
    """The parameters. One that is a list may be given several times."""
    params = request.query_params
    given: dict[str, Any] = {}
    for name in params:
        known = shape.model_fields.get(name)
        is_list = known is not None and "list" in str(known.annotation)
        given[name] = params.getlist(name) if is_list else params[name]
    return _checked(shape, given, "parameter", is_strict=False)


async def _body(shape: type[Shape], request: Request) -> Shape:
    if shape is Nothing:
        return Nothing()
    text = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if text and kind != "application/json":
        raise UsageError("The body is not JSON.", hint="Send it with Content-Type: application/json.")
    try:
        given = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        raise UsageError(
            "The body is not JSON.", hint="See the description at /api/v1/openapi.json."
        ) from None
    if not isinstance(given, dict):
        raise UsageError(
            "The body is not a JSON object.", hint="See the description at /api/v1/openapi.json."
        )
    return _checked(shape, given, "field", is_strict=True)


def _checked(shape: type[Shape], given: dict[str, Any], what: str, *, is_strict: bool) -> Shape:
    try:
        text = json.dumps(given)
        return shape.model_validate_json(text, strict=True) if is_strict else shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        known = list(shape.model_fields)
        near = nearest(name, known) if first["type"] == "extra_forbidden" else ""
        raise UsageError(
            f"The {what} {name[:60]!r} is wrong: {first['msg'][:1].lower()}{first['msg'][1:200]}.",
            hint=f"Did you mean {near!r}?" if near else f"There are: {', '.join(known) or 'none'}.",
        ) from None
    except ValueError:
        raise UsageError(f"A {what} cannot be read.", hint="It must be UTF-8.") from None
