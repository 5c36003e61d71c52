"""The part of the Docker Engine API that promotions need, one swarm's requests as typed values.

Source: Docker Engine API, v1.41 (engine 20.10) to v1.55 (engine 29.7); what differs is said where it does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.docker_logins import IDENTITY_TOKEN, Account
from liftlock.errors import LiftlockError, NotFound, VendorFailure
from liftlock.http import Http, field, optional
from liftlock.model import Digest
from liftlock.tasks import Once

OLDEST = (1, 41)
"""Engine 20.10: the first with jobs."""
NEWEST = (1, 51)
"""What this module was written for: a newer engine is spoken to in this version."""
STACK = "com.docker.stack.namespace"
"""The label by which `docker stack` knows a stack's services."""
_PULL_PIECE_S = 120.0
"""The longest that an engine may be silent while it pulls an image."""
_LOG_S = 15.0
_LOG_BYTES = 256 * 1024
_REFERENCE = re.compile(r"(?P<name>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Update:
    """How an update of a service stands: `updating`, `paused`, `completed`, `rollback_started`,
    `rollback_paused` or `rollback_completed`."""

    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service, with its specification as the engine gives it: what is not ours is sent back as it came."""

    id: str
    name: str
    version: int
    spec: Mapping[str, Any]
    previous: Mapping[str, Any] | None
    """The specification before the last update; None when there is none, or the engine has rolled back."""
    update: Update | None

    @property
    def image(self) -> str:
        """The image as the specification names it."""
        return image_of(self.spec)

    @property
    def digest(self) -> Digest | None:
        """The digest of its image's manifest; None where it is named by a tag alone."""
        return digest_of(self.image)

    @property
    def labels(self) -> Mapping[str, str]:
        return self.spec.get("Labels") or {}

    @property
    def replicas(self) -> int | None:
        """How many tasks it should have; None for one on each node."""
        mode = self.spec.get("Mode") or {}
        if "Replicated" in mode:
            return int((mode["Replicated"] or {}).get("Replicas") or 0)
        if "ReplicatedJob" in mode:
            return int((mode["ReplicatedJob"] or {}).get("TotalCompletions") or 0)
        return None

    @property
    def is_job(self) -> bool:
        return bool({"ReplicatedJob", "GlobalJob"} & set(self.spec.get("Mode") or {}))

    @property
    def is_updating(self) -> bool:
        return self.update is not None and self.update.state in {"updating", "rollback_started"}


@dataclass(frozen=True, slots=True)
class Task:
    """One container that the swarm runs, is to run, or ran."""

    id: str
    service: str
    slot: str
    """The number of its replica, or its node's id: tasks of one slot follow each other."""
    state: str
    desired: str
    image: str
    error: str
    changed_at: str
    """When its state changed; the engine's clock, in a form that sorts by time."""

    @property
    def is_up(self) -> bool:
        """Running, and healthy where the service has a health check: until then a task is `starting`."""
        return self.state == "running" and self.desired == "running"

    @property
    def has_failed(self) -> bool:
        return self.state in {"failed", "rejected", "orphaned"}

    @property
    def has_ended(self) -> bool:
        """Whether it ended though nobody asked it to, well or badly: a service's tasks are to go on."""
        return self.has_failed or self.state == "complete"

    @property
    def end(self) -> str:
        """Why it ended, as far as the engine says it."""
        if self.state == "complete":  # an unhealthy container that heeds the signal to end does so with 0
            return "it ended without an error, by itself or because its health check failed"
        return self.error or self.state


class Swarm:
    """One swarm, by one of its managers."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._prefix = Once(self._negotiate)

    async def _negotiate(self) -> str:
        """The newest version that both sides speak. None will do for all: engines 29.0 to 29.2 speak none below 1.44."""
        answer = (await self._http.request("GET", "/version")).object()
        theirs, least = field(answer, "ApiVersion", str), optional(answer, "MinAPIVersion", str) or "1.12"
        engine = optional(answer, "Version", str) or theirs
        if _version(theirs) < OLDEST:
            raise LiftlockError(
                f"The Docker engine at {self._http.base} is {engine}, which is too old to be promoted to.",
                hint="Update it to 20.10 or newer.",
            )
        if _version(least) > NEWEST:
            raise LiftlockError(
                f"The Docker engine at {self._http.base} is {engine}, and no longer speaks version "
                f"{'.'.join(map(str, NEWEST))} of its API.",
                hint="Update liftlock.",
            )
        return f"/v{'.'.join(map(str, min(_version(theirs), NEWEST)))}"

    async def info(self) -> Mapping[str, Any]:
        """What the engine says of itself and of its swarm."""
        return await self._object("/info")

    async def services(self, stack: str) -> Mapping[str, Service]:
        """A stack's services, by name."""
        answer = await self._http.request("GET", f"{await self._prefix()}/services", params=_by_stack(stack))
        found = [_service(each) for each in answer.objects()]
        return {service.name: service for service in found}

    async def service(self, name: str) -> Service | None:
        """A service by its id or its whole name; None when there is none."""
        try:
            return _service(await self._object(f"/services/{name}"))
        except NotFound:
            return None

    async def tasks(self, stack: str) -> Sequence[Task]:
        """A stack's tasks, those of the past that the swarm remembers among them."""
        answer = await self._http.request("GET", f"{await self._prefix()}/tasks", params=_by_stack(stack))
        return [_task(each) for each in answer.objects()]

    async def tasks_of(self, service: str) -> Sequence[Task]:
        """A service's tasks; none when there is no such service."""
        filters = {"filters": json.dumps({"service": [service]})}
        try:
            answer = await self._http.request("GET", f"{await self._prefix()}/tasks", params=filters)
        except NotFound:
            return []
        return [_task(each) for each in answer.objects()]

    async def create(self, spec: Mapping[str, Any], auth: Mapping[str, str]) -> str:
        """Make a service; gives its id."""
        path = f"{await self._prefix()}/services/create"
        answer = await self._http.request("POST", path, json=spec, headers=auth)
        return field(answer.object(), "ID", str)

    async def update(
        self, service: Service, spec: Mapping[str, Any], auth: Mapping[str, str], *, roll_back: bool = False
    ) -> None:
        """Change a service, if it still is as it was read; with `roll_back`, to what it was before.

        Without `auth` the engine keeps the credentials that it has. Raises `OutOfSequence`.
        """
        params: dict[str, Any] = {"version": service.version}
        if roll_back:
            params["rollback"] = "previous"
        if not auth:
            params["registryAuthFrom"] = "previous-spec" if roll_back else "spec"
        path = f"{await self._prefix()}/services/{service.id}/update"
        try:
            await self._http.request("POST", path, params=params, json=spec, headers=auth)
        except VendorFailure as error:
            if "update out of sequence" in error.message:
                raise OutOfSequence from error
            raise

    async def remove(self, service: str) -> None:
        """Remove a service. One that is not there is no error."""
        await self._http.request("DELETE", f"{await self._prefix()}/services/{service}", expect=(200, 404))

    async def resolve(self, reference: str, auth: Mapping[str, str]) -> Digest:
        """The digest of an image that the engine itself finds in its registry. Raises `VendorError`."""
        path = f"{await self._prefix()}/distribution/{reference}/json"
        # Not repeated: an engine answers 500 for whatever its registry said.
        answer = await self._http.request("GET", path, headers=auth, repeat=False)
        return Digest(field(answer.object(), "Descriptor.digest", str))

    async def pull(self, repository: str, digest: Digest, auth: Mapping[str, str]) -> None:
        """Have this engine pull an image ahead of its use. Raises `LiftlockError` with its own words."""
        params = {"fromImage": repository, "tag": digest.value}
        last = b""
        path = f"{await self._prefix()}/images/create"
        async with self._http.stream(
            "POST", path, params=params, headers=auth, timeout_s=_PULL_PIECE_S
        ) as pulled:
            async for piece in pulled.chunks():
                last = (last + piece)[-8192:]
        for line in last.splitlines():
            if b'"error"' in line:
                raise LiftlockError(f"The engine cannot pull {repository}@{digest}: {_error_of(line)}")

    async def log(self, task: Task, lines: int) -> list[str]:
        """The last lines that a task wrote."""
        params = {"stdout": "true", "stderr": "true", "tail": lines}
        path = f"{await self._prefix()}/tasks/{task.id}/logs"
        said = b""
        async with self._http.stream("GET", path, params=params, timeout_s=_LOG_S) as log:
            async for piece in log.chunks():
                said += piece
                if len(said) > _LOG_BYTES:
                    break
        return [self._http.clean(line) for line in _lines(said)][-lines:]

    async def _object(self, path: str) -> Mapping[str, Any]:
        return (await self._http.request("GET", f"{await self._prefix()}{path}")).object()


class OutOfSequence(Exception):
    """Something changed the service since it was read: read it again."""


def image_of(spec: Mapping[str, Any]) -> str:
    """The image that a specification names."""
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    return str(container.get("Image") or "")


def digest_of(image: str) -> Digest | None:
    """The manifest's digest in `repository:tag@sha256:…`; None when a tag alone is named."""
    found = _REFERENCE.fullmatch(image)
    return Digest(found["digest"]) if found else None


def repository_of(image: str) -> str:
    """The repository in `repository:tag@sha256:…`."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def registry_auth(account: Account | None, host: str) -> dict[str, str]:
    """The header that passes a registry's credentials on. Source: Engine API, "Authentication"."""
    if account is None:
        return {}
    user, secret = account
    held = (
        {"identitytoken": secret}
        if user == IDENTITY_TOKEN
        else {"username": user, "password": secret, "serveraddress": host}
    )
    return {"x-registry-auth": base64.urlsafe_b64encode(json.dumps(held).encode()).decode()}


def _by_stack(stack: str) -> dict[str, str]:
    return {"filters": json.dumps({"label": [f"{STACK}={stack}"]})}


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _service(payload: Mapping[str, Any]) -> Service:
    state = optional(payload, "UpdateStatus.State", str)
    previous = optional(payload, "PreviousSpec", dict)
    return Service(
        id=field(payload, "ID", str),
        name=field(payload, "Spec.Name", str),
        version=field(payload, "Version.Index", int),
        spec=_plain(field(payload, "Spec", dict)),
        previous=None if previous is None else _plain(previous),
        update=Update(state, optional(payload, "UpdateStatus.Message", str) or "") if state else None,
    )


def _plain(value: Any) -> Any:
    """A payload without the memory of its answer: it is kept, copied and sent back."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _task(payload: Mapping[str, Any]) -> Task:
    slot = optional(payload, "Slot", int)
    return Task(
        id=field(payload, "ID", str),
        service=field(payload, "ServiceID", str),
        slot=str(slot) if slot else optional(payload, "NodeID", str) or "",
        state=field(payload, "Status.State", str),
        desired=field(payload, "DesiredState", str),
        image=optional(payload, "Spec.ContainerSpec.Image", str) or "",
        error=optional(payload, "Status.Err", str) or "",
        changed_at=optional(payload, "Status.Timestamp", str) or "",
    )


def _error_of(line: bytes) -> str:
    try:
        told = json.loads(line)
    except ValueError:
        return line.decode(errors="replace")[:300]
    return str(told.get("error", told))[:300] if isinstance(told, dict) else str(told)[:300]


def _lines(stream: bytes) -> list[str]:
    """The lines of a log: frames of 8 bytes (stream, size) and text, or plain text of a terminal.

    Source: Engine API, "Attach to a container", stream format.
    """
    text, at = b"", 0
    while at + 8 <= len(stream) and stream[at] in {0, 1, 2} and stream[at + 1 : at + 4] == b"\0\0\0":
        size = int.from_bytes(stream[at + 4 : at + 8])
        text += stream[at + 8 : at + 8 + size]
        at += 8 + size
    if at == 0:
        text = stream
    return [line.rstrip("\r") for line in text.decode(errors="replace").splitlines()]
