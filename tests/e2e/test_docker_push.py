"""`docker push` to registry.heroku.com, which is the sandbox: by name, through its proxy and its TLS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator

import pytest

from liftlock.demo.sandbox_process import client_environment
from tests.e2e.cloud import LONG_S, Cloud, heroku
from tests.registry.dockerd import NoEngine, dockerd
from tests.registry.pictures import tar

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

Docker = Callable[..., str]
TAG = "registry.heroku.com/{}/web"


@pytest.fixture
def docker(cloud: Cloud) -> Iterator[Docker]:
    """The client of an engine whose every way out leads to the sandbox, as `liftlock sandbox` says."""
    try:
        with dockerd(client_environment(cloud.sandbox)) as host:

            def run(*arguments: str, stdin: bytes = b"") -> str:
                command = ["docker", "--config", str(cloud.folder / "docker"), "--host", host, *arguments]
                done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=LONG_S)
                assert done.returncode == 0, done.stderr.decode()
                return done.stdout.decode().strip()

            yield run
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.mark.promise("P6")
def test_an_image_that_docker_pushed_is_released_and_promoted_under_its_own_id(
    cloud: Cloud, docker: Docker
) -> None:
    docker("login", "registry.heroku.com", "--username", "_", "--password-stdin", stdin=b"owner")
    docker("import", "--change", 'CMD ["true"]', "-", "shop/sso", stdin=tar("by docker", 200_000))
    image = json.loads(docker("image", "inspect", "shop/sso"))[0]["Id"]
    commit = cloud.commit()
    for environment in ("dev", "staging"):
        name = f"{TAG.format(heroku('SSO', environment))}:{commit}"
        docker("tag", "shop/sso", name)
        docker("push", name)
    cloud.release("SSO", "dev", {"web": image})
    cloud.record("SSO", "dev", {"docker_image_shas": {"web": image}}, commit=commit)
    cloud.run("promote dev staging SSO --yes")
    assert cloud.images("SSO", "staging") == {"web": image}
