"""Putting a project together: what fits, what is refused, and what is not even imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.errors import UsageError
from liftlock.model import App, Environment, Project, RecordName, Target
from liftlock.plugins import Context, Plugin, has, load
from liftlock.wiring import check_endpoints, endpoint_notes, is_on_loopback, open_project

pytestmark = pytest.mark.anyio

PUBLIC = {
    "github": "https://api.github.com",
    "heroku": "https://api.heroku.com",
    "heroku_data": "https://api.data.heroku.com",
    "heroku_registry": "https://registry.heroku.com",
    "firebase": "https://firebasehosting.googleapis.com",
}
SANDBOX = dict.fromkeys(PUBLIC, "http://127.0.0.1:5555")


def a_project(
    *platforms: str,
    ledger: str = "github",
    endpoints: Mapping[str, str] = PUBLIC,
    root: str = ".",
    **options: Any,
) -> Project:
    apps = {}
    for platform in platforms or ("heroku", "firebase", "command"):
        name = platform.upper()
        target = Target(name, "dev", platform, f"{platform}-dev", "example/services")
        record = RecordName("example/services", f"deploy:{name}", "development")
        apps[name] = App(name, platform, "example/services", {"dev": target}, {"dev": record})
    return Project(
        "observatory",
        "example/services",
        ledger,
        0.0,
        {"dev": Environment("dev")},
        apps,
        endpoints,
        root=root,
        **options,
    )


def test_public_endpoints_and_a_sandboxs_both_fit() -> None:
    check_endpoints(a_project())
    check_endpoints(a_project(endpoints=SANDBOX))
    check_endpoints(a_project(endpoints=SANDBOX, ledger="sqlite:///x.db"))
    assert is_on_loopback(a_project(endpoints=SANDBOX))
    assert not is_on_loopback(a_project())


@pytest.mark.parametrize("key", PUBLIC)
def test_a_mix_of_loopback_and_public_is_refused_and_names_both(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_endpoints(a_project(endpoints={**SANDBOX, key: PUBLIC[key]}))
    assert PUBLIC[key] in caught.value.message
    assert "http://127.0.0.1:5555" in caught.value.message
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"127\.0\.0\.1"):
        check_endpoints(a_project(endpoints={**PUBLIC, key: SANDBOX[key]}))


def test_endpoints_that_the_project_does_not_use_do_not_matter() -> None:
    check_endpoints(a_project("heroku", endpoints={**SANDBOX, "firebase": PUBLIC["firebase"]}))


def test_a_public_archive_beside_a_sandbox_is_a_mix() -> None:
    with pytest.raises(UsageError, match=r"archive is https://ghcr\.io|ghcr\.io"):
        check_endpoints(a_project(endpoints=SANDBOX, archive="ghcr.io/example"))
    check_endpoints(a_project(archive="ghcr.io/example"))
    check_endpoints(a_project(endpoints=SANDBOX, archive="127.0.0.1:5555/archive"))


def test_a_sandboxs_images_go_to_no_public_registry_and_the_other_way_about_is_allowed() -> None:
    def pulled_from(registry: str, endpoints: dict[str, str]) -> Project:
        project = a_project("heroku", endpoints=endpoints)
        app = project.apps["HEROKU"]
        target = replace(app.targets["dev"], registry=registry)
        return replace(project, apps={"HEROKU": replace(app, targets={"dev": target})})

    with pytest.raises(UsageError, match=r"HEROKU in dev would go to ghcr\.io"):
        check_endpoints(pulled_from("ghcr.io/example", SANDBOX))
    check_endpoints(pulled_from("127.0.0.1:5000/example", SANDBOX))
    check_endpoints(pulled_from("127.0.0.1:5000/example", PUBLIC))


def test_an_sqlite_ledger_for_public_targets_needs_single_machine() -> None:
    with pytest.raises(UsageError, match=r"known to this machine alone, and https://firebasehosting"):
        check_endpoints(a_project(ledger="sqlite:///x.db"))
    check_endpoints(a_project(ledger="sqlite:///x.db", single_machine=True))
    check_endpoints(a_project("command", ledger="sqlite:///x.db"))
    with pytest.raises(UsageError, match="the platform nomad"):
        check_endpoints(a_project("nomad", ledger="sqlite:///x.db"))


def test_every_endpoint_that_is_not_the_default_is_noted() -> None:
    assert endpoint_notes(a_project()) == {}
    assert endpoint_notes(
        a_project(endpoints={**PUBLIC, "github": "https://u:p@ghe.example.com/api/v3"})
    ) == {"https://ghe.example.com/api/v3": ["github"]}
    assert endpoint_notes(a_project(endpoints=SANDBOX)) == {"http://127.0.0.1:5555": sorted(PUBLIC)}


async def test_the_adapters_of_the_project_and_no_others_are_built(tmp_path: Path) -> None:
    project = a_project("command", ledger=f"sqlite:///{tmp_path}/x.db", root=str(tmp_path))
    async with open_project(project, environ={}) as adapters:
        assert set(adapters.platforms) == {"command"}
        assert adapters.databases == {}
        assert adapters.notifiers == []
        assert adapters.ledger.name == "sqlite"
        assert adapters.clock.now().tzinfo is not None


async def test_no_credential_is_looked_for_before_a_request_needs_it(tmp_path: Path) -> None:
    notify = {"slack": {"webhook": "env:HOOK"}}
    project = a_project(root=str(tmp_path), notify=notify)
    environ = {"HOME": str(tmp_path), "HOOK": "https://hooks.slack.com/services/T/B/X"}
    async with open_project(project, environ=environ) as adapters:
        assert set(adapters.platforms) == {"heroku", "firebase", "command"}
        assert set(adapters.databases) == {"heroku"}
        assert [notifier.name for notifier in adapters.notifiers] == ["slack"]
        with pytest.raises(UsageError, match="no credential for GitHub"):
            await adapters.ledger.account()


async def test_every_request_goes_over_a_given_transport_as_the_owner(tmp_path: Path) -> None:
    seen: list[httpx2.Request] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"login": "owner"})

    project = a_project(endpoints=SANDBOX, root=str(tmp_path))
    environ = {"GITHUB_TOKEN": "real", "HEROKU_API_KEY": "real"}
    async with open_project(project, environ=environ, transport=httpx2.MockTransport(serve)) as adapters:
        assert await adapters.ledger.account() == "owner"
    assert seen[0].headers["authorization"] == "Bearer owner"
    assert seen[0].headers["x-github-api-version"] == "2022-11-28"
    assert seen[0].headers["accept"] == "application/vnd.github+json"


async def test_every_connection_is_closed_even_when_cancelled(tmp_path: Path) -> None:
    closed: list[bool] = []
    project = a_project(endpoints=SANDBOX, root=str(tmp_path))
    with anyio.CancelScope() as scope:
        async with open_project(project, environ={}):
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                closed.append(True)
    assert closed == [True]


def test_an_unknown_adapter_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        load("platforms", "nomad")
    assert caught.value.message == "There is no platform 'nomad'."
    assert "command, directory, firebase, heroku" in caught.value.hint
    assert not has("platforms", "nomad")


def installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, code: str, name: str = "nomad"
) -> None:
    """A third party's package with the platform `name`, on the path."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[liftlock.platforms]\n{name} = {module}:plugin\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


def test_a_third_partys_platform_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from liftlock.plugins import Plugin\nplugin = Plugin('nomad', lambda context: 'built')\n"
    installed(tmp_path, monkeypatch, "liftlock-nomad", code)
    context: Any = None
    assert has("platforms", "nomad")
    assert load("platforms", "nomad").build(context) == "built"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import absent_library", "ModuleNotFoundError: No module named 'absent_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "AttributeError"),
        ("plugin = 'text'", "is no liftlock.plugins.Plugin"),
        (
            "from liftlock.plugins import Plugin\nplugin = Plugin('nomad', lambda context: context.nonsense)",
            "AttributeError",
        ),
    ],
)
def test_a_broken_third_partys_platform_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    installed(tmp_path, monkeypatch, "liftlock-broken", code)
    context: Any = object()
    with pytest.raises(UsageError) as caught:
        load("platforms", "nomad").build(context)
    assert caught.value.message.startswith(
        "The platform 'nomad' of the package liftlock-broken cannot be used: "
    )
    assert why in caught.value.message


def test_a_platform_that_two_packages_bring_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "liftlock-one", "")
    installed(tmp_path, monkeypatch, "liftlock-two", "")
    with pytest.raises(UsageError, match="liftlock-one and liftlock-two"):
        load("platforms", "nomad")


def test_nobody_takes_the_name_of_a_built_in_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "liftlock-thief", "1 / 0", name="heroku")
    assert isinstance(load("platforms", "heroku"), Plugin)


def test_every_built_in_adapter_loads() -> None:
    for kind in ("platforms", "ledgers", "databases", "notifiers"):
        group = metadata.distribution("liftlock").entry_points.select(group=f"liftlock.{kind}")
        assert group.names
        for name in group.names:
            assert load(kind, name).name == name


def test_wiring_imports_no_adapter() -> None:
    script = (
        "import sys, liftlock.wiring; "
        "bad = [m for m in sys.modules if m.startswith(('liftlock.platforms.', 'liftlock.ledgers.', 'google', "
        "'liftlock.databases.', 'liftlock.registry.', 'sqlite3', 'keyring'))]; print(bad)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_what_an_adapter_is_given_is_what_the_contract_says() -> None:
    assert list(Context.__dataclass_fields__) == [
        "project",
        "http",
        "images",
        "source_code",
        "clock",
        "environ",
        "secret",
        "plain_http",
        "docker",
        "registry_login",
        "acting_for",
        "shared",
    ]


async def test_a_ledger_that_authenticates_nobody_records_for_whom_a_server_acts(tmp_path: Path) -> None:
    project = a_project(ledger="sqlite:///x.db", endpoints=SANDBOX, root=str(tmp_path))
    async with open_project(project, acting_for="ada", environ={}) as adapters:
        assert adapters.acting_for == "ada"
        assert await adapters.ledger.account() == "ada"
    async with open_project(project, environ={}) as adapters:
        assert await adapters.ledger.account() != "ada"
