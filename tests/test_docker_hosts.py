"""How an engine is reached: the addresses that docker takes, and what each comes to on the wire."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from liftlock.docker_hosts import docker_environ, docker_host, ssh_command, tcp_base
from liftlock.errors import Unreachable, UsageError
from liftlock.http import Http
from liftlock.platforms.swarm.api import Swarm
from tests.sandbox.serving import served

BRIDGE = """#!{python}
import os, socket, sys, threading
assert sys.argv[-3:] == ["docker", "system", "dial-stdio"], sys.argv
there = socket.create_connection(("127.0.0.1", {port}))
def out():
    while piece := there.recv(65536):
        os.write(1, piece)
threading.Thread(target=out, daemon=True).start()
while piece := os.read(0, 65536):
    there.sendall(piece)
"""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ssh://swarm.example.com", ["--", "swarm.example.com", "docker", "system", "dial-stdio"]),
        ("ssh://deploy@host", ["-l", "deploy", "--", "host", "docker", "system", "dial-stdio"]),
        ("ssh://host:2222", ["-p", "2222", "--", "host", "docker", "system", "dial-stdio"]),
        ("ssh://host/run/d.sock", ["docker", "--host", "unix:///run/d.sock", "system", "dial-stdio"]),
    ],
)
def test_ssh_runs_what_docker_itself_would(address: str, words: list[str]) -> None:
    command = ssh_command(address)
    assert list(command[-len(words) :]) == words
    assert "BatchMode=yes" in command


@pytest.mark.parametrize("address", ["ssh://-oProxyCommand=x", "ssh://u:secret@host", "ssh://"])
def test_an_address_that_ssh_would_take_for_an_option_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        ssh_command(address)
    assert "secret" not in caught.value.message


def test_tcp_is_plain_on_this_machine_alone() -> None:
    assert tcp_base("tcp://127.0.0.1:2375", {}) == "http://127.0.0.1:2375"
    assert tcp_base("tcp://127.0.0.1:2375/path", {}) == "http://127.0.0.1:2375/path"
    assert tcp_base("tcp://127.0.0.1:2376", {"DOCKER_TLS_VERIFY": "1"}) == "https://127.0.0.1:2376"
    assert tcp_base("tcp://swarm.example.com:2376", {}) == "https://swarm.example.com:2376"
    with pytest.raises(UsageError):
        tcp_base("npipe:////./pipe/docker_engine", {})


@pytest.mark.parametrize(
    ("address", "environ", "told"),
    [
        ("", {}, {"DOCKER_HOST": "unix:///var/run/docker.sock"}),
        ("", {"DOCKER_HOST": "ssh://deploy@host"}, {"DOCKER_HOST": "ssh://deploy@host"}),
        ("unix:///run/d.sock", {"DOCKER_HOST": "tcp://h:1"}, {"DOCKER_HOST": "unix:///run/d.sock"}),
        ("tcp://127.0.0.1:2375", {}, {"DOCKER_HOST": "tcp://127.0.0.1:2375"}),
        ("tcp://host:2376", {}, {"DOCKER_HOST": "tcp://host:2376", "DOCKER_TLS_VERIFY": "1"}),
        (
            "tcp://127.0.0.1:2376",
            {"DOCKER_CERT_PATH": "/certificates"},
            {
                "DOCKER_HOST": "tcp://127.0.0.1:2376",
                "DOCKER_TLS_VERIFY": "1",
                "DOCKER_CERT_PATH": "/certificates",
            },
        ),
    ],
)
def test_docker_itself_is_sent_to_the_same_engine_and_as_safely(
    address: str, environ: dict[str, str], told: dict[str, str]
) -> None:
    assert docker_environ(address, environ) == told


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"ca\.pem|certificates for Docker"):
        docker_host("tcp://host:2376", {"DOCKER_CERT_PATH": str(tmp_path)}, tmp_path)


@pytest.mark.anyio
async def test_an_engine_answers_through_ssh(tmp_path: Path) -> None:
    with served() as sandbox:
        program(tmp_path, BRIDGE.format(python=sys.executable, port=sandbox.base_url.port))
        host = docker_host("ssh://swarm.example.com", {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, tmp_path)
        http = Http("docker", f"{host.base}/_docker/main", transport=host.transport)
        swarm = Swarm(http)
        assert (await swarm.info())["Swarm"]["ControlAvailable"]
        assert await swarm.services("observatory-dev") == {}
        await http.aclose()
        await host.transport.aclose()


@pytest.mark.anyio
async def test_what_ssh_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    program(tmp_path, "#!/bin/sh\necho 'deploy@swarm: Permission denied (publickey).' >&2\nexit 255\n")
    host = docker_host("ssh://deploy@swarm", {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, tmp_path)
    http = Http("docker", host.base, transport=host.transport)
    with pytest.raises(Unreachable, match="Permission denied"):
        await Swarm(http).info()
    await http.aclose()
    await host.transport.aclose()


def program(folder: Path, text: str) -> None:
    ssh = folder / "ssh"
    ssh.write_text(text)
    ssh.chmod(0o755)
