"""Payloads as GitHub holds them: what today's scripts read, and whatever else may stand there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock import __version__
from liftlock.ledgers.payload import intent_payload, read_intent, read_record, record_payload
from liftlock.model import Commit, CommitId, Kind, RecordedId, Release, SiteVersion, StepTime
from tests.ledgers.worlds import BACKUP, OBSERVATORY, RELEASES, image, new_deployment, new_intent

WEB = "sha256:" + "a" * 64
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_record_holds_the_images_where_the_scripts_look_for_them() -> None:
    assert record_payload(new_deployment(RELEASES["SSO"], "99")) == {
        "docker_image_shas": {"web": WEB},
        "liftlock": {
            "format": 1,
            "version": __version__,
            "app": "SSO",
            "promotion": "99",
            "kind": "promotion",
            "source": {"environment": "dev", "deployment": "16"},
            "replaced": "15",
            "backups": [
                {
                    "id": "b042",
                    "database": "postgresql-curly-1",
                    "app": "SSO",
                    "service": "heroku",
                    "size": 123456,
                    "started": "2026-11-01T12:00:00+00:00",
                    "finished": "2026-11-01T12:00:09.500000+00:00",
                }
            ],
        },
    }


def test_a_site_and_a_command_have_no_images() -> None:
    site = record_payload(new_deployment(RELEASES["Explore"], "99"))
    assert "docker_image_shas" not in site
    assert site["liftlock"]["site"] == {
        "version": "sites/explore-gemini-dev/versions/7",
        "content": "9" * 64,
    }
    assert record_payload(new_deployment(RELEASES["preferences"], "99"))["liftlock"]["commit"] == "3" * 40


@pytest.mark.parametrize("app", sorted(RELEASES))
def test_a_record_survives_the_way_to_json_and_back(app: str) -> None:
    new = new_deployment(RELEASES[app], "99")
    for payload in (
        record_payload(new),
        json.dumps(record_payload(new)),
        json.dumps(json.dumps(record_payload(new))),
    ):
        data = read_record(json.loads(json.dumps(payload)))
        assert data.artifacts == new.release.artifacts
        assert (data.app, data.promotion, data.kind) == (app, "99", Kind.PROMOTION)
        assert (data.source_environment, data.replaced, data.backups) == ("dev", "15", (BACKUP,))


ABOUT = Commit(
    "1" * 40,
    subject="Show the moon (#12)",
    author="A. Stronomer",
    login="astronomer",
    committed_at=datetime(2026, 11, 1, 9, 30, tzinfo=UTC),
    pull_request=12,
)


def test_what_is_known_of_a_commit_is_read_as_it_was_written() -> None:
    release = replace(RELEASES["SSO"], about=ABOUT)
    payload = json.loads(json.dumps(record_payload(new_deployment(release, "99"))))
    assert payload["liftlock"]["about"] == {
        "subject": "Show the moon (#12)",
        "author": "A. Stronomer",
        "login": "astronomer",
        "at": "2026-11-01T09:30:00+00:00",
        "pull_request": 12,
    }
    assert read_record(payload).release("SSO", "1" * 40).about == ABOUT


def test_an_intent_tells_each_commit_once() -> None:
    apps = {name: replace(RELEASES["SSO"], app=name, about=ABOUT) for name in ("SSO", "ITC")}
    payload = json.loads(json.dumps(intent_payload(new_intent(releases=apps), "observatory")))
    assert list(payload["liftlock"]["commits"]) == ["1" * 40]
    assert {r.about for r in read_intent(payload).releases.values()} == {ABOUT}


def test_what_is_known_of_a_commit_takes_little_of_a_record() -> None:
    long = replace(ABOUT, subject="☄" * 5000, author="x" * 5000)
    written = record_payload(new_deployment(replace(RELEASES["SSO"], about=long), "99"))["liftlock"]["about"]
    assert len(written["subject"]) == 200
    assert written["subject"].endswith("☄…")
    assert len(written["author"]) == 100


@pytest.mark.parametrize(
    "about",
    [None, "", [], 7, {}, {"subject": 7, "at": "yesterday", "pull_request": "12"}, {"pull_request": True}],
    ids=str,
)
def test_a_record_that_says_nonsense_of_its_commit_still_names_its_artifacts(about: Any) -> None:
    payload = record_payload(new_deployment(RELEASES["SSO"], "99"))
    payload["liftlock"]["about"] = about
    data = read_record(payload)
    assert data.artifacts == RELEASES["SSO"].artifacts
    told = data.release("SSO", "1" * 40).about
    assert told is None or told == Commit("1" * 40)


def test_what_others_wrote_of_a_commit_reaches_no_terminal_as_more_than_text() -> None:
    payload = record_payload(new_deployment(RELEASES["SSO"], "99"))
    payload["liftlock"]["about"] = {"subject": "\x1b]8;;http://x\x07a\nb\u202ec\ud800", "author": "\x9b31mme"}
    about = read_record(payload).release("SSO", "1" * 40).about
    assert about is not None
    assert (about.subject, about.author) == (r"\x1b]8;;http://x\x07a b\u202ec\ud800", r"\x9b31mme")


def test_an_id_that_nobody_resolved_stays_one_of_unknown_kind() -> None:
    release = Release("SSO", "", {"web": RecordedId(WEB), "worker": image("b")})
    data = read_record(record_payload(new_deployment(release, "99")))
    assert data.artifacts == release.artifacts


def test_a_record_says_when_its_steps_began_and_how_long_they_took() -> None:
    steps = {"stage": StepTime(0.25, 1.5), "release": StepTime(12.0, 40.0625)}
    payload = record_payload(new_deployment(RELEASES["SSO"], "99", steps=steps))
    assert payload["liftlock"]["steps"] == {
        "stage": {"began_s": 0.25, "took_s": 1.5},
        "release": {"began_s": 12.0, "took_s": 40.062},
    }
    read = read_record(payload)
    assert read.steps["stage"] == steps["stage"]
    assert read.steps["release"].ended_s == 52.062


@pytest.mark.parametrize(
    "time", [None, 5, {"took_s": 1}, {"began_s": "0", "took_s": 1}, {"began_s": 0, "took_s": -1}, 10**400]
)
def test_a_time_that_cannot_be_read_costs_nothing_else(time: Any) -> None:
    payload = record_payload(new_deployment(RELEASES["SSO"], "99", steps={"stage": StepTime(0.0, 1.0)}))
    payload["liftlock"]["steps"]["verify"] = time
    payload["liftlock"]["steps"]["release"] = {"began_s": 0, "took_s": time}
    data = read_record(payload)
    assert data.promotion == "99"
    assert data.artifacts == RELEASES["SSO"].artifacts
    assert data.steps.keys() - {"release"} == {"stage"}


@pytest.mark.parametrize("record", OBSERVATORY["records"], ids=lambda record: record["why"])
def test_records_of_todays_workflows_are_read(record: dict[str, Any]) -> None:
    data = read_record(record["body"].get("payload", ""))
    assert data.artifacts == {part: RecordedId(value) for part, value in record["artifacts"].items()}
    assert (data.promotion, data.kind, data.backups) == ("", None, ())


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        "<html><body>502 Bad Gateway</body></html>",
        "{",
        "[" * 100_000,
        "1" * 5_000,
        [],
        3,
        {"docker_image_shas": None},
        {"docker_image_shas": "sha256:" + "a" * 64},
        {"docker_image_shas": ["sha256:" + "a" * 64]},
        {"docker_image_shas": {"web": None}},
        {"docker_image_shas": {"web": 5}},
        {"docker_image_shas": {"web": "latest"}},
        {"docker_image_shas": {"web": "a" * 64}},
        {"docker_image_shas": {"web": "sha256:" + "A" * 64}},
        {"docker_image_shas": {"web": "sha256:" + "a" * 64 + "\n"}},
        {"docker_image_shas": {"": "sha256:" + "a" * 64}},
        {"liftlock": "1"},
        {"liftlock": {"format": 2, "commit": "3" * 40}},
        {"liftlock": {"format": 1, "kind": "promotion", "site": {"version": 7}}},
        {"liftlock": {"format": 1, "kind": "party", "commit": "3" * 40}},
        {"liftlock": {"format": 1, "kind": "deploy", "commit": "3" * 40, "backups": [{"size": "big"}]}},
    ],
    ids=lambda payload: str(payload)[:40],
)
def test_a_malformed_payload_gives_a_record_without_artifacts(payload: Any) -> None:
    assert read_record(payload).artifacts == {}
    assert not read_intent(payload).readable


def test_half_of_an_apps_images_is_none_of_them() -> None:
    assert read_record({"docker_image_shas": {"web": WEB, "worker": 5}}).artifacts == {}


def test_the_images_of_a_newer_format_are_those_of_another_tool() -> None:
    payload = {"docker_image_shas": {"web": WEB}, "liftlock": {"format": 2}}
    data = read_record(payload)
    assert data.artifacts == {"web": RecordedId(WEB)}
    assert data.promotion == ""


def test_an_intent_survives_the_way_to_json_and_back() -> None:
    new = new_intent(kind=Kind.ROLLBACK, reverts="7")
    data = read_intent(json.dumps(intent_payload(new, "observatory")))
    assert (data.readable, data.key, data.project) == (True, "key-1", "observatory")
    assert (data.kind, data.environment, data.source, data.reverts) == (Kind.ROLLBACK, "staging", "dev", "7")
    assert data.plan_digest == new.plan_digest
    assert data.releases == RELEASES
    assert data.before == new.before
    assert data.replaced == new.replaced
    assert data.overrides == new.overrides


def test_an_intent_of_sixty_four_apps_stays_small() -> None:
    """GitHub publishes no limit of a payload's size; this one stays below 64 KiB."""
    parts = {part: image("a") for part in ("web", "worker")}
    releases = {f"app-{n}": Release(f"app-{n}", "1" * 40, parts) for n in range(64)}
    new = new_intent(releases=releases, before=dict.fromkeys(releases, parts))
    assert len(json.dumps(intent_payload(new, "observatory"))) < 65_536


def test_a_payload_that_says_a_thing_twice_says_nothing() -> None:
    """Of two images for one process type, one reader would take the first and another one the last."""
    once = f'{{"docker_image_shas": {{"web": "{WEB}"}}}}'
    assert read_record(once).artifacts == {"web": RecordedId(WEB)}
    twice = f'{{"docker_image_shas": {{"web": "{WEB}", "web": "{image("b").value}"}}}}'
    assert read_record(twice).artifacts == {}
    intent = json.dumps(intent_payload(new_intent(), "observatory"))
    assert not read_intent(intent.replace('"key":', '"key": "another", "key":', 1)).readable


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(WEB),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "docker_image_shas",
                    "liftlock",
                    "format",
                    "kind",
                    "site",
                    "version",
                    "commit",
                    "backups",
                    "web",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@unhurried
@given(JSON)
def test_no_payload_is_an_error(payload: Any) -> None:
    read_record(payload)
    read_intent(payload)
    read_record(json.dumps(payload))


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["format", "kind", "releases", "before", "site", "backups", "steps"]), JSON
    )
)
def test_no_content_of_our_own_part_is_an_error(ours: dict[str, Any]) -> None:
    for payload in ({"liftlock": ours}, {"liftlock": {"format": 1, "kind": "deploy", **ours}}):
        read_intent(payload)
        for artifact in read_record(payload).artifacts.values():
            assert isinstance(artifact, (SiteVersion, CommitId))


@unhurried
@given(st.text())
def test_no_text_is_an_error(payload: str) -> None:
    assert read_record(payload).artifacts == {}
