"""Stands in for `docker stack deploy` where the engine is the sandbox's: makes what a cut Compose file describes.

It knows the words of the tests' own file alone. What docker itself makes of one
is shown on a real engine, in tests/e2e.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.request
from typing import Any

import yaml

OWNER = base64.urlsafe_b64encode(json.dumps({"username": "_", "password": "owner"}).encode()).decode()


def main() -> None:
    stack = sys.argv[-1]
    assert sys.argv[1:3] == ["stack", "deploy"]
    base = os.environ["DOCKER_HOST"].replace("tcp://", "http://")
    for name, service in yaml.safe_load(sys.stdin.read())["services"].items():
        deploy = service["deploy"]
        spec: dict[str, Any] = {
            "Name": f"{stack}_{name}",
            "Labels": {
                "com.docker.stack.namespace": stack,
                "com.docker.stack.image": service["image"],
                **deploy.get("labels", {}),
            },
            "TaskTemplate": {
                "ContainerSpec": {"Image": service["image"]},
                "RestartPolicy": {"Delay": 50_000_000},
            },
            "Mode": {"Replicated": {"Replicas": 1}},
            "UpdateConfig": {"Order": "start-first", "Monitor": 50_000_000},
            "RollbackConfig": {"Order": "start-first", "Monitor": 50_000_000},
        }
        if deploy.get("mode") == "replicated-job":
            spec["Mode"] = {"ReplicatedJob": {"TotalCompletions": deploy["replicas"]}}
            del spec["UpdateConfig"], spec["RollbackConfig"]
        request = urllib.request.Request(
            f"{base}/v1.51/services/create",
            json.dumps(spec).encode(),
            {"content-type": "application/json", "x-registry-auth": OWNER},
        )
        urllib.request.urlopen(request, timeout=10).close()


if __name__ == "__main__":
    main()
