"""Heroku's requests, compared whole, and what every status of Heroku's becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest
import trio
from trio.testing import MockClock

from liftlock.errors import ArtifactMissing, BadAnswer, ReleaseFailed, VendorError
from liftlock.model import Digest, ImageId, Known, RecordedId, Release, Unknown
from liftlock.platforms.heroku import Heroku
from liftlock.ports import RegistryImage, Switch
from tests.platforms.world import COMMIT, container_app, context_of, located, project_of

pytestmark = pytest.mark.anyio

BASE = "http://127.0.0.1:1"
OLD = ImageId("sha256:" + "aa" * 32)
NEW = ImageId("sha256:" + "bb" * 32)
PROJECT = project_of(container_app(processes={}), base=BASE)
TARGET = PROJECT.apps["ODB"].targets["staging"]
PLAIN = "application/vnd.heroku+json; version=3"
IMAGES = "application/vnd.heroku+json; version=3.docker-releases"

Answers = Mapping[tuple[str, str], list[tuple[int, Any]]]


def process(type_: str, image: ImageId | None, quantity: int = 1) -> dict[str, Any]:
    return {"type": type_, "quantity": quantity, "docker_image": {"id": str(image)} if image else None}


def release(version: int, description: str, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "version": version,
        "status": status,
        "description": description,
        "current": status == "succeeded",
        "output_stream_url": None,
    } | more


def dyno(version: int, state: str = "up", name: str = "web.1") -> dict[str, Any]:
    return {"id": name, "name": name, "type": "web", "state": state, "release": {"version": version}}


class Vendor:
    """Heroku as a table of answers: the last one of each list is given again and again."""

    def __init__(self, answers: Answers) -> None:
        self.answers = {key: list(value) for key, value in answers.items()}
        self.asked: list[tuple[str, str, Mapping[str, str], Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        headers = {k: v for k, v in request.headers.items() if k in {"accept", "range", "accept-inclusion"}}
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, headers, body))
        waiting = self.answers[request.method, request.url.path]
        status, answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx2.Response(status, json=answer)


FORMATION, RELEASES, DYNOS = (f"/apps/odb-staging/{each}" for each in ("formation", "releases", "dynos"))
NEWEST = {"accept": PLAIN, "range": "version ..; max=10, order=desc"}


def heroku(vendor: Vendor) -> Heroku:
    return Heroku(context_of(PROJECT, vendor))


async def test_running_asks_for_the_formation_and_the_newest_releases() -> None:
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", OLD, 2)])],
            ("GET", RELEASES): [(206, [release(42, "Deployed web (aaaaaaaaaaaa)")])],
        }
    )
    assert await heroku(vendor).running(TARGET, ()) == Known({"web": OLD}, scale={"web": 2}, marker="v42")
    assert sorted(vendor.asked, key=str) == [
        ("GET", FORMATION, {"accept": IMAGES}, None),
        ("GET", RELEASES, NEWEST, None),
    ]


async def test_release_sends_one_update_with_every_process_type_and_no_quantity() -> None:
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", OLD), process("worker", OLD, 0)])],
            ("GET", RELEASES): [
                (206, [release(42, "Deployed web (aaaaaaaaaaaa)")]),
                (206, [release(43, "Deployed web (bbbbbbbbbbbb)"), release(42, "", current=False)]),
            ],
            ("PATCH", FORMATION): [(200, [process("web", NEW), process("worker", NEW, 0)])],
            ("GET", DYNOS): [(200, [dyno(43)])],
        }
    )
    platform = heroku(vendor)
    wanted = Release("ODB", COMMIT, {"web": NEW, "worker": NEW})
    switch = await platform.release(TARGET, wanted, lambda _: None)
    await platform.settle(TARGET, wanted, switch, 0.0, lambda _: None)
    assert switch.marker == "v43"
    writes = [asked for asked in vendor.asked if asked[0] != "GET"]
    updates = [{"type": t, "docker_image": str(NEW)} for t in ("web", "worker")]
    assert writes == [("PATCH", FORMATION, {"accept": IMAGES}, {"updates": updates})]
    assert len(vendor.asked) == 5  # a look of two, the update, a look of two


@pytest.mark.parametrize(
    ("formation", "releases", "expected", "answer"),
    [
        pytest.param([], [], (), Known({}), id="no release"),
        pytest.param([], [release(1, "Initial release")], (), Known({}, marker="v1"), id="no container"),
        pytest.param(
            [process("web", OLD)],
            [
                release(43, "Deployed web (bbbbbbbbbbbb)", "failed"),
                release(42, "Deployed web (aaaaaaaaaaaa)"),
            ],
            (),
            Known({"web": OLD}, scale={"web": 1}, marker="v42"),
            id="a failed release is not current",
        ),
        pytest.param(
            [process("web", NEW)],
            [
                release(43, "Deployed web (bbbbbbbbbbbb)", "failed"),
                release(42, "Deployed web (aaaaaaaaaaaa)"),
            ],
            (),
            Unknown("Heroku does not say which image web runs (v42: Deployed web (aaaaaaaaaaaa))"),
            id="a failed release's image is not taken for one that runs",
        ),
        pytest.param(
            [process("web", None)],
            [release(42, "Set FOO config vars")],
            (Release("ODB", COMMIT, {"web": OLD}),),
            Unknown("Heroku does not say which image web runs (v42: Set FOO config vars)"),
            id="a description without an image confirms nothing",
        ),
        pytest.param(
            [process("web", OLD)],
            [release(42, "", "pending")],
            (),
            Unknown("none of Heroku's newest releases is current"),
            id="nothing is current",
        ),
        pytest.param(
            [process("web", OLD)],
            [release(42, "Deployed web (aaaaaaaaaaaa), release (aaaaaaaaaaaa)")],
            (Release("ODB", COMMIT, {"web": OLD, "release": OLD}),),
            Known({"web": OLD, "release": OLD}, scale={"web": 1}, marker="v42"),
            id="a formation without the release process type",
        ),
    ],
)
async def test_what_runs(
    formation: list[Any], releases: list[Any], expected: Sequence[Release], answer: Any
) -> None:
    vendor = Vendor({("GET", FORMATION): [(200, formation)], ("GET", RELEASES): [(206, releases)]})
    assert await heroku(vendor).running(TARGET, expected) == answer


@pytest.mark.parametrize(
    ("formation", "releases"),
    [
        ({}, []),
        ([1], []),
        ([{"quantity": 1}], []),
        ([{"type": "web", "docker_image": {"id": "latest"}}], []),
        ([], [{"version": "v42"}]),
        ([], "<html>"),
    ],
)
async def test_answers_that_heroku_does_not_document_are_bad_answers(formation: Any, releases: Any) -> None:
    vendor = Vendor({("GET", FORMATION): [(200, formation)], ("GET", RELEASES): [(200, releases)]})
    with pytest.raises(BadAnswer):
        await heroku(vendor).running(TARGET, ())


HEROKU_ERRORS = {
    400: "bad_request",
    401: "unauthorized",
    402: "delinquent",
    403: "forbidden",
    404: "not_found",
    406: "not_acceptable",
    409: "conflict",
    410: "gone",
    416: "requested_range_not_satisfiable",
    422: "invalid_params",
}


@pytest.mark.parametrize(("status", "code"), HEROKU_ERRORS.items())
async def test_every_refusal_of_an_update_is_a_failed_release_in_herokus_words(
    status: int, code: str
) -> None:
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", OLD)])],
            ("GET", RELEASES): [(206, [release(42, "Deployed web (aaaaaaaaaaaa)")])],
            ("PATCH", FORMATION): [(status, {"id": code, "message": "Heroku's words."})],
        }
    )
    with pytest.raises(ReleaseFailed) as caught:
        await heroku(vendor).release(TARGET, Release("ODB", COMMIT, {"web": NEW}), lambda _: None)
    assert str(caught.value) == (
        "Heroku refused to release web of ODB in staging (odb-staging): "
        f"Heroku refused PATCH {BASE}{FORMATION}: {status} {code} Heroku's words."
    )
    assert isinstance(caught.value.__cause__, VendorError)


def test_update_that_makes_no_release_is_no_change() -> None:
    """Heroku makes none when every process type has its image already (here: it does not list one)."""
    now = [release(42, "Deployed web (bbbbbbbbbbbb)")]
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", NEW)])],
            ("GET", RELEASES): [(206, now)],
            ("PATCH", FORMATION): [(200, [process("web", NEW)])],
            ("GET", DYNOS): [(200, [dyno(42)])],
        }
    )

    async def story() -> None:
        wanted = Release("ODB", COMMIT, {"web": NEW, "release": OLD})
        switch = await heroku(vendor).release(TARGET, wanted, lambda _: None)
        assert switch == Switch("v42", changed=False)

    trio.run(story, clock=MockClock(autojump_threshold=0.0))


@pytest.mark.parametrize("status", ["failed", "expired"])
async def test_every_release_status_but_succeeded_is_a_failed_release(status: str) -> None:
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", OLD)])],
            ("GET", RELEASES): [
                (206, [release(42, "Deployed web (aaaaaaaaaaaa)")]),
                (206, [release(43, "Deployed web (bbbbbbbbbbbb)", "pending"), release(42, "")]),
                (206, [release(43, "Deployed web (bbbbbbbbbbbb)", status), release(42, "")]),
            ],
            ("PATCH", FORMATION): [(200, [process("web", NEW)])],
            ("GET", DYNOS): [(200, [dyno(42)])],
        }
    )
    with pytest.raises(ReleaseFailed, match=f"{status}: Heroku release v43") as caught:
        await heroku(vendor).release(TARGET, Release("ODB", COMMIT, {"web": NEW}), lambda _: None)
    assert caught.value.hint.startswith("v42 still runs in staging.")


async def test_artifact_that_was_not_located_is_never_released() -> None:
    vendor = Vendor({})
    wanted = Release("ODB", COMMIT, {"web": RecordedId(str(NEW))})
    with pytest.raises(ReleaseFailed, match="has no image id"):
        await heroku(vendor).release(TARGET, wanted, lambda _: None)
    assert vendor.asked == []


async def settled(*looks: tuple[list[Any], list[Any]]) -> int:
    """Settle v43 while Heroku shows these (releases, dynos) one after the other; how many looks it took."""
    vendor = Vendor(
        {
            ("GET", FORMATION): [(200, [process("web", NEW)])],
            ("GET", RELEASES): [(206, releases) for releases, _ in looks],
            ("GET", DYNOS): [(200, dynos) for _, dynos in looks],
        }
    )
    wanted = Release("ODB", COMMIT, {"web": NEW})
    await heroku(vendor).settle(TARGET, wanted, Switch("v43"), 0.0, lambda _: None)
    return len([asked for asked in vendor.asked if asked[1] == DYNOS])


NOW = [release(43, "Deployed web (bbbbbbbbbbbb)"), release(42, "", current=False)]
BEFORE = [release(43, "Deployed web (bbbbbbbbbbbb)", current=False), release(42, "")]


async def test_settle_is_not_content_with_dynos_of_the_release_before() -> None:
    assert await settled((NOW, [dyno(42)]), (NOW, [dyno(42), dyno(43)]), (NOW, [dyno(43)])) == 3


async def test_settle_waits_until_the_release_is_current() -> None:
    assert await settled((BEFORE, [dyno(43)]), (NOW, [dyno(43)])) == 2


async def test_settle_waits_for_every_dyno_that_is_due() -> None:
    assert await settled((NOW, []), (NOW, [dyno(43, "starting")]), (NOW, [dyno(43)])) == 3


async def test_settle_does_not_mind_one_off_dynos() -> None:
    one_off = dyno(41, name="run.7") | {"type": "run"}
    assert await settled((NOW, [dyno(43), one_off])) == 1


class OneWayRegistry:
    """A registry that copies something else than it was asked to."""

    async def copy(self, image: RegistryImage, repository: str, tag: str, progress: Any) -> RegistryImage:
        return image

    async def look_up(self, repository: str, reference: str) -> RegistryImage | None:
        image_id = NEW if "odb-dev" in repository else OLD
        return RegistryImage(repository, Digest(str(image_id)), image_id, "", 1)

    async def has_config(self, repository: str, image_id: ImageId) -> bool:
        return False


async def test_copy_that_arrives_as_another_image_is_refused() -> None:
    """P6."""
    context = context_of(PROJECT, Vendor({}), images=lambda: OneWayRegistry())
    source = PROJECT.apps["ODB"].targets["dev"]
    found = located(Release("ODB", COMMIT, {"web": NEW}), "source")
    with pytest.raises(ArtifactMissing, match=r"should hold sha256:bb.* after copying, and holds sha256:aa"):
        await Heroku(context).stage(TARGET, found, source, lambda _: None)
