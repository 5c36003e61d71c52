"""Docker Swarm: the part of the Engine API that promotions ask for, for any number of modelled swarms.

Each swarm is at `/_docker/NAME/`, so that its engine's address is `tcp://HOST:PORT/_docker/NAME`. Nothing is
started: `swarm_tasks` says how containers behave. Images are those of the cloud's own registry.
Source: Docker Engine API v1.41 and v1.51; the answers of an engine 20.10, beside which a test puts these.
"""

from __future__ import annotations

import base64
import json
import re
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal, body_object
from liftlock.sandbox.clock import micros_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.store import Document
from liftlock.sandbox.swarm_tasks import end_task, find_image, is_up, tasks, tasks_of
from liftlock.sandbox.swarm_updates import begin, is_job, replicas, services, touch

NAME = "swarm"
PATHS = ("/_docker/",)
OPEN = True
API, OLDEST = "1.51", "1.24"
_STATES_OF_JOBS = ("ReplicatedJob", "GlobalJob")
_TAGGED = re.compile(r"(?P<name>[^/]+/[^:@]+):(?P<tag>[^@]+)")
_PATH = "/_docker/{swarm}/v{version}"


def refusal(status: int, message: str) -> Response:
    """An error as the engine writes it."""
    return Json({"message": message}, status)


def no(status: int, message: str) -> Refusal:
    return Refusal(status, {"message": message})


def routes(cloud: Cloud) -> list[BaseRoute]:
    """What is polled comes first."""
    cloud.backing.at_start.append(partial(resume, cloud))
    return [
        Route(f"{_PATH}/services", partial(_services, cloud), methods=["GET"]),
        Route(f"{_PATH}/tasks", partial(_tasks, cloud), methods=["GET"]),
        Route(f"{_PATH}/services/create", partial(_create, cloud), methods=["POST"]),
        Route(f"{_PATH}/services/{{service}}/update", partial(_update, cloud), methods=["POST"]),
        Route(f"{_PATH}/services/{{service}}", partial(_service, cloud), methods=["GET"]),
        Route(f"{_PATH}/services/{{service}}", partial(_remove, cloud), methods=["DELETE"]),
        Route(f"{_PATH}/tasks/{{task}}/logs", partial(_logs, cloud), methods=["GET"]),
        Route(
            f"{_PATH}/distribution/{{reference:path}}/json", partial(_distribution, cloud), methods=["GET"]
        ),
        Route(f"{_PATH}/images/create", partial(_pull, cloud), methods=["POST"]),
        Route(f"{_PATH}/info", _info, methods=["GET"]),
        Route("/_docker/{swarm}/version", _version, methods=["GET"]),
    ]


async def create(cloud: Cloud, world: dict[str, Any]) -> None:
    """`{"services": [{"swarm", "spec"}]}`: the services that are not there yet, as `docker stack deploy` makes them."""
    for wish in world.get("services", ()):
        if not any(
            s["swarm"] == wish["swarm"] and _name(s) == wish["spec"]["Name"] for s in services(cloud).values()
        ):
            await make_service(cloud, wish["swarm"], wish["spec"])


def observe(cloud: Cloud) -> dict[str, Any]:
    """By swarm and service, what it is to run and what its tasks that are up run."""
    return {
        "services": {
            f"{service['swarm']}/{_name(service)}": {
                "image": _image(service["spec"]["TaskTemplate"]),
                "labels": service["spec"].get("Labels") or {},
                "env": service["spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or [],
                "replicas": replicas(service),
                "is_job": is_job(service),
                "update": (service["update"] or {}).get("State", ""),
                "up": sorted(_image(task["spec"]) for task in tasks_of(cloud, service) if is_up(task)),
            }
            for service in services(cloud).values()
        }
    }


async def resume(cloud: Cloud) -> None:
    """After a restart of the sandbox: what was under way goes on."""
    for service in services(cloud).values():
        if not is_job(service):
            await begin(cloud, service)


async def make_service(cloud: Cloud, swarm: str, spec: Document) -> Document:
    """A new service. Raises a refusal for a name that is taken."""
    if any(s["swarm"] == swarm and _name(s) == spec["Name"] for s in services(cloud).values()):
        raise no(409, "rpc error: code = AlreadyExists desc = name conflicts with an existing object")
    if set(_STATES_OF_JOBS) & set(spec.get("Mode") or {}) and spec.get("UpdateConfig"):
        raise no(400, "rpc error: code = InvalidArgument desc = update config is not allowed for jobs")
    now = micros_iso(cloud.clock.now())
    service: Document = {
        "id": f"service{cloud.store.next('swarm.service'):018d}",
        "swarm": swarm,
        "created_at": now,
        "updated_at": now,
        "version": 0,
        "spec": {"Mode": {"Replicated": {"Replicas": 1}}, **spec},
        "previous": None,
        "update": None,
        "iteration": 0,
        "turn": 0,
    }
    await begin(cloud, service)
    return service


async def _create(cloud: Cloud, request: Request) -> Response:
    spec = await body_object(request)
    _log_in(request, _image(spec["TaskTemplate"]))
    service = await make_service(cloud, request.path_params["swarm"], spec)
    return Json({"ID": service["id"]}, 201)


async def _update(cloud: Cloud, request: Request) -> Response:
    service = _find(cloud, request)
    spec = await body_object(request)
    if request.query_params.get("version") != str(service["version"]):
        raise no(500, "rpc error: code = Unknown desc = update out of sequence")
    if set(spec.get("Mode") or {}) != set(service["spec"]["Mode"]):
        raise no(500, "rpc error: code = Unimplemented desc = service mode change is not allowed")
    if request.query_params.get("rollback") == "previous":
        if service["previous"] is None:
            raise no(
                400,
                f"rpc error: code = FailedPrecondition desc = service {service['id']} does not have a previous spec",
            )
        service["spec"], service["previous"] = service["previous"], service["spec"]
        started = micros_iso(cloud.clock.now())
        service["update"] = {
            "State": "rollback_started",
            "StartedAt": started,
            "Message": "manually requested rollback",
        }
    else:
        service["spec"], service["previous"] = spec, service["spec"]
        service["update"] = None
    if is_job(service):
        service["iteration"] += 1
    touch(cloud, service)
    await begin(cloud, service)
    return Json({"Warnings": None})


async def _remove(cloud: Cloud, request: Request) -> Response:
    service = _find(cloud, request)
    services(cloud).delete(service["id"])
    for task in tasks_of(cloud, service):
        await end_task(cloud, task)
        tasks(cloud).delete(task["id"])
    return Response(status_code=200)


async def _services(cloud: Cloud, request: Request) -> Response:
    filters = _filters(request)
    found = [s for s in services(cloud).values() if s["swarm"] == request.path_params["swarm"]]
    return Json([_service_shape(service) for service in found if _has_labels(service, filters)])


async def _service(cloud: Cloud, request: Request) -> Response:
    return Json(_service_shape(_find(cloud, request)))


async def _tasks(cloud: Cloud, request: Request) -> Response:
    filters = _filters(request)
    by_id = {s["id"]: s for s in services(cloud).values() if s["swarm"] == request.path_params["swarm"]}
    wanted = filters.get("service")
    if wanted and not any(s["id"] in wanted or _name(s) in wanted for s in by_id.values()):
        raise no(404, f"service {wanted[0]} not found")
    shown = [
        _task_shape(task)
        for task in tasks(cloud).values()
        if task["service"] in by_id
        and _has_labels(by_id[task["service"]], filters)
        and (not wanted or task["service"] in wanted or _name(by_id[task["service"]]) in wanted)
    ]
    return Json(shown)


async def _logs(cloud: Cloud, request: Request) -> Response:
    task = tasks(cloud).get(request.path_params["task"])
    if task is None or task["swarm"] != request.path_params["swarm"]:
        raise no(404, f"task {request.path_params['task']} not found")
    tail = request.query_params.get("tail", "all")
    lines = task["log"] if tail == "all" else task["log"][-int(tail) :]
    frames = b""
    for line in lines:
        text = f"{line}\n".encode()
        frames += b"\1\0\0\0" + len(text).to_bytes(4) + text
    return Response(frames, media_type="application/vnd.docker.raw-stream")


async def _distribution(cloud: Cloud, request: Request) -> Response:
    reference = request.path_params["reference"]
    _log_in(request, reference)
    named = _TAGGED.fullmatch(reference)
    if named and "@" not in reference:
        repository = named["name"].partition("/")[2]
        tag = cloud.store.table("registry.tags").get(f"{repository}:{named['tag']}")
        reference = f"{named['name']}@{tag['digest']}" if tag else reference
    found = find_image(cloud, reference)
    if found is None:
        raise no(404, "manifest unknown: manifest unknown")
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    return Json(
        {
            "Descriptor": {"mediaType": media_type, "digest": found[0], "size": 527},
            "Platforms": [{"architecture": "amd64", "os": "linux"}],
        }
    )


async def _pull(cloud: Cloud, request: Request) -> Response:
    repository, digest = request.query_params.get("fromImage", ""), request.query_params.get("tag", "")
    _log_in(request, repository)
    if find_image(cloud, f"{repository}@{digest}") is None:
        raise no(404, f"manifest for {repository}@{digest} not found: manifest unknown: manifest unknown")
    told = [
        {"status": f"Digest: {digest}"},
        {"status": f"Status: Image is up to date for {repository}@{digest}"},
    ]
    return Response("".join(json.dumps(each) + "\r\n" for each in told), media_type="application/json")


async def _info(request: Request) -> Response:
    return Json(
        {
            "ServerVersion": "28.5.1",
            "Swarm": {"LocalNodeState": "active", "ControlAvailable": True, "Nodes": 1, "Managers": 1},
        }
    )


async def _version(request: Request) -> Response:
    return Json(
        {"Version": "28.5.1", "ApiVersion": API, "MinAPIVersion": OLDEST, "Os": "linux", "Arch": "amd64"}
    )


def _log_in(request: Request, image: str) -> None:
    """The registry's own rule, asked by the engine on somebody's behalf: anybody whose token the cloud knows."""
    try:
        given = json.loads(base64.urlsafe_b64decode(request.headers.get("x-registry-auth", "")))
    except ValueError:
        given = {}
    token = str(given.get("password", "")) if isinstance(given, dict) else ""
    if not re.fullmatch(r"owner|user-.+", token):
        name = image.partition("@")[0]
        raise no(
            401, f"pull access denied for {name}, repository does not exist or may require 'docker login'"
        )


def _find(cloud: Cloud, request: Request) -> Document:
    asked = request.path_params["service"]
    for service in services(cloud).values():
        if service["swarm"] == request.path_params["swarm"] and asked in {service["id"], _name(service)}:
            return service
    raise no(404, f"service {asked} not found")


def _filters(request: Request) -> dict[str, list[str]]:
    try:
        given = json.loads(request.query_params.get("filters") or "{}")
    except ValueError as error:
        raise no(400, f"invalid filter: {error}") from error
    return {name: list(values) for name, values in given.items()}


def _has_labels(service: Document, filters: dict[str, list[str]]) -> bool:
    labels = service["spec"].get("Labels") or {}
    wanted = [each.partition("=") for each in filters.get("label", ())]
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in wanted)


def _name(service: Document) -> str:
    return str(service["spec"]["Name"])


def _image(template: Document) -> str:
    return str(template["ContainerSpec"]["Image"])


def _service_shape(service: Document) -> Document:
    shape: Document = {
        "ID": service["id"],
        "Version": {"Index": service["version"]},
        "CreatedAt": service["created_at"],
        "UpdatedAt": service["updated_at"],
        "Spec": service["spec"],
        "Endpoint": {"Spec": {}},
    }
    if service["previous"] is not None:
        shape["PreviousSpec"] = service["previous"]
    if service["update"] is not None:
        shape["UpdateStatus"] = service["update"]
    if is_job(service):
        shape["JobStatus"] = {
            "JobIteration": {"Index": service["iteration"]} if service["iteration"] else {},
            "LastExecution": service["updated_at"],
        }
    return shape


def _task_shape(task: Document) -> Document:
    status: Document = {"Timestamp": task["changed_at"], "State": task["state"], "Message": task["state"]}
    if task["error"]:
        status["Err"] = task["error"]
    shape: Document = {
        "ID": task["id"],
        "Version": {"Index": 1},
        "CreatedAt": task["created_at"],
        "UpdatedAt": task["changed_at"],
        "Labels": {},
        "Spec": task["spec"],
        "ServiceID": task["service"],
        "NodeID": "node1",
        "Status": status,
        "DesiredState": task["desired"],
    }
    if task["desired"] != "complete":
        shape["Slot"] = task["slot"]
    else:
        shape["JobIteration"] = {"Index": task["iteration"]} if task["iteration"] else {}
    return shape
