"""What stands in the payload of a record, and how it is read back. Pure: no input or output.

An app's record carries the images as the teams' own scripts have always written and read them,
and what only liftlock needs beside it:

    {"docker_image_shas": {"web": "sha256:…"}, "liftlock": {"format": 1, "app": "ODB", …}}

Payloads of other tools arrive as objects or as strings holding JSON, and may hold anything. What
cannot be understood gives a record without artifacts, never an error: it cannot be promoted, and
whoever reads it says so. Half of an app's images is not understood: lockstep would be lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from liftlock import __version__
from liftlock.ledgers.about import read_about, written_about, written_commits
from liftlock.model import (
    EMPTY,
    Artifact,
    Artifacts,
    Backup,
    BundleId,
    CommitId,
    ImageId,
    Kind,
    RecordedId,
    Release,
    SiteVersion,
    StepTime,
)
from liftlock.ports import NewDeployment, NewIntent
from liftlock.wording import read_moment

FORMAT = 1
IMAGES = "docker_image_shas"
OURS = "liftlock"
MOST_S = 1e8
"""No step takes so many seconds; a number beyond it is none."""


@dataclass(frozen=True, slots=True)
class RecordData:
    """What a record's payload says; of another tool's record, its artifacts alone."""

    artifacts: Artifacts = field(default_factory=lambda: EMPTY)
    app: str = ""
    promotion: str = ""
    kind: Kind | None = None
    source_environment: str = ""
    replaced: str = ""
    backups: tuple[Backup, ...] = ()
    steps: Mapping[str, StepTime] = field(default_factory=lambda: EMPTY)
    awake: tuple[str, ...] = ()
    requested_by: str = ""
    about: object = None
    """What it says of its commit, which its payload does not name."""

    def release(self, app: str, commit: str) -> Release:
        return Release(app, commit, self.artifacts, read_about(self.about, commit))


@dataclass(frozen=True, slots=True)
class IntentData:
    """What an intent's payload says."""

    key: str = ""
    project: str = ""
    environment: str = ""
    kind: Kind = Kind.PROMOTION
    source: str = ""
    plan_digest: str = ""
    releases: Mapping[str, Release] = field(default_factory=lambda: EMPTY)
    replaced: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    before: Mapping[str, Artifacts] = field(default_factory=lambda: EMPTY)
    reverts: str = ""
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    undo_on_failure: bool = True
    requested_by: str = ""
    readable: bool = True
    """False when another version or another tool wrote it: it stands open all the same."""


@dataclass(frozen=True, slots=True)
class ApprovalData:
    """What an approval's payload says. Who gave it is never read from there."""

    key: str
    plan_digest: str
    expires_at: datetime


def record_payload(new: NewDeployment) -> dict[str, Any]:
    """The payload of an app's record. Today's scripts read the images in it."""
    ours: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "app": new.app,
        "promotion": new.promotion,
        "kind": new.kind.value,
        "source": {"environment": new.source_environment, "deployment": new.source_deployment},
        "replaced": new.replaced,
        "backups": [_written_backup(backup) for backup in new.backups],
    }
    if new.steps:
        ours["steps"] = {
            step: {"began_s": round(time.began_s, 3), "took_s": round(time.took_s, 3)}
            for step, time in new.steps.items()
        }
    if new.awake:
        ours["awake"] = sorted(new.awake)
    if new.requested_by:
        ours["requested_by"] = new.requested_by
    if about := written_about(new.release.about):
        ours["about"] = about
    images: dict[str, str] = {}
    for part, artifact in new.release.artifacts.items():
        match artifact:
            case ImageId(value):
                images[part] = value
            case RecordedId(value):
                images[part] = value
                ours.setdefault("unresolved", []).append(part)
            case SiteVersion(name, content):
                ours["site"] = {"version": name, "content": content}
            case CommitId(value):
                ours["commit"] = value
            case BundleId(value):
                ours.setdefault("bundles", {})[part] = value
    return ({IMAGES: images} if images else {}) | {OURS: ours}


def read_record(payload: object) -> RecordData:
    """What a record's payload says, whoever wrote it."""
    whole = _object(payload)
    try:
        data, unresolved = _our_record(whole)
    except _Malformed:
        data, unresolved = RecordData(), None
    try:
        images = _images(whole, unresolved)
    except _Malformed:
        return replace(data, artifacts=EMPTY)
    return replace(data, artifacts={**images, **data.artifacts})


def intent_payload(new: NewIntent, project: str) -> dict[str, Any]:
    """The payload of a promotion's intent: all that a resume needs to know of the plan."""
    requested = {"requested_by": new.requested_by} if new.requested_by else {}
    return {
        OURS: {
            "format": FORMAT,
            "version": __version__,
            "key": new.key,
            "project": project,
            "environment": new.environment,
            "kind": new.kind.value,
            "source": new.source,
            "plan": new.plan_digest,
            "releases": {
                app: {"commit": release.commit, "artifacts": _written(release.artifacts)}
                for app, release in new.releases.items()
            },
            "commits": written_commits(new.releases.values()),
            "replaced": dict(new.replaced),
            "before": {app: _written(artifacts) for app, artifacts in new.before.items()},
            "reverts": new.reverts,
            "overrides": dict(new.overrides or {}),
            "on_failure": "undo" if new.undo_on_failure else "stop",
            "backups": list(new.expected_backups),
            **requested,
        }
    }


def read_intent(payload: object) -> IntentData:
    """What an intent's payload says; one that cannot be understood is `readable` False."""
    ours = _object(payload).get(OURS)
    try:
        ours = _mapping(ours)
        _known_format(ours)
        commits = ours.get("commits", EMPTY)
        releases = {
            app: _release(app, _mapping(one), commits) for app, one in _mapping(ours.get("releases")).items()
        }
        return IntentData(
            key=_text(ours, "key"),
            project=_text(ours, "project"),
            environment=_text(ours, "environment"),
            kind=_kind(ours),
            source=_text(ours, "source"),
            plan_digest=_text(ours, "plan"),
            releases=releases,
            replaced=_texts(ours, "replaced"),
            before={app: _read(_mapping(one)) for app, one in _mapping(ours.get("before")).items()},
            reverts=_text(ours, "reverts"),
            overrides=_texts(ours, "overrides"),
            undo_on_failure=_text(ours, "on_failure") != "stop",
            requested_by=_text(ours, "requested_by"),
        )
    except _Malformed:
        return IntentData(readable=False)


def approval_payload(key: str, plan_digest: str, expires_at: datetime) -> dict[str, Any]:
    """The payload of an approval; `key` finds it again when the answer to its making was lost."""
    return {
        OURS: {
            "format": FORMAT,
            "version": __version__,
            "key": key,
            "plan": plan_digest,
            "expires": expires_at.isoformat(),
        }
    }


def read_approval(payload: object) -> ApprovalData | None:
    """What an approval's payload says; None for one that cannot be understood: it approves nothing."""
    try:
        ours = _mapping(_object(payload).get(OURS))
        _known_format(ours)
        return ApprovalData(_text(ours, "key"), _given(ours, "plan"), _time(ours, "expires"))
    except _Malformed:
        return None


# Reading, part by part. Everything wrong ends in `_Malformed`.


class _Malformed(ValueError):
    """A part of a payload is not what format 1 says."""


def _object(payload: object) -> Mapping[str, Any]:
    """The JSON object in a payload, also when it arrives as a string, or as a string in a string."""
    for _ in range(2):
        if isinstance(payload, str):
            try:
                payload = json.loads(payload, object_pairs_hook=_unambiguous)
            except (ValueError, RecursionError):
                return EMPTY
    return payload if isinstance(payload, Mapping) else EMPTY


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as JSON spells it. Of one that says a thing twice, readers take this or that: it says nothing."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _our_record(whole: Mapping[str, Any]) -> tuple[RecordData, Sequence[str] | None]:
    """Our part of a record's payload, and the parts whose ids are still as another tool wrote them."""
    ours = _mapping(whole.get(OURS))
    _known_format(ours)
    artifacts: dict[str, Artifact] = {}
    if "site" in ours:
        site = _mapping(ours["site"])
        artifacts["site"] = SiteVersion(_given(site, "version"), _text(site, "content"))
    if "commit" in ours:
        artifacts["commit"] = CommitId(_given(ours, "commit"))
    with _malformed_values():
        for part, value in _mapping(ours.get("bundles", {})).items():
            artifacts[part] = BundleId(_is_text(value))
    unresolved = [_is_text(part) for part in _list(ours.get("unresolved", []))]
    data = RecordData(
        artifacts=artifacts,
        app=_text(ours, "app"),
        promotion=_text(ours, "promotion"),
        kind=_kind(ours),
        source_environment=_text(_mapping(ours.get("source", {})), "environment"),
        replaced=_text(ours, "replaced"),
        backups=tuple(_read_backup(_mapping(one)) for one in _list(ours.get("backups", []))),
        steps=_read_steps(ours.get("steps")),
        awake=tuple(_is_text(part) for part in _list(ours.get("awake", []))),
        requested_by=_text(ours, "requested_by"),
        about=ours.get("about"),
    )
    return data, unresolved


def _images(whole: Mapping[str, Any], unresolved: Sequence[str] | None) -> Artifacts:
    """The images; `unresolved` None says that the record is another tool's."""
    images: dict[str, Artifact] = {}
    with _malformed_values():
        for part, value in _mapping(whole.get(IMAGES, {})).items():
            ours = unresolved is not None and part not in unresolved
            images[_given({"part": part}, "part")] = (ImageId if ours else RecordedId)(_is_text(value))
    return images


def _written(artifacts: Artifacts) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for part, artifact in artifacts.items():
        match artifact:
            case ImageId(value):
                written[part] = {"image_id": value}
            case RecordedId(value):
                written[part] = {"recorded_id": value}
            case SiteVersion(name, content):
                written[part] = {"site_version": name, "content": content}
            case CommitId(value):
                written[part] = {"commit": value}
            case BundleId(value):
                written[part] = {"bundle": value}
    return written


def _read(written: Mapping[str, Any]) -> Artifacts:
    artifacts: dict[str, Artifact] = {}
    with _malformed_values():
        for part, one in written.items():
            match one:
                case {"image_id": str(value)}:
                    artifacts[part] = ImageId(value)
                case {"recorded_id": str(value)}:
                    artifacts[part] = RecordedId(value)
                case {"site_version": str(name), "content": str(content)}:
                    artifacts[part] = SiteVersion(name, content)
                case {"commit": str(value)}:
                    artifacts[part] = CommitId(value)
                case {"bundle": str(value)}:
                    artifacts[part] = BundleId(value)
                case _:
                    raise _Malformed(part)
    return artifacts


def _release(app: str, written: Mapping[str, Any], commits: object) -> Release:
    commit = _text(written, "commit")
    told = commits.get(commit) if isinstance(commits, Mapping) else None
    return Release(app, commit, _read(_mapping(written.get("artifacts"))), read_about(told, commit))


def _written_backup(backup: Backup) -> dict[str, Any]:
    return {
        "id": backup.id,
        "database": backup.database,
        "app": backup.app,
        "service": backup.service,
        "size": backup.size_bytes,
        "started": backup.started_at.isoformat(),
        "finished": backup.finished_at.isoformat(),
    }


def _read_backup(written: Mapping[str, Any]) -> Backup:
    size = written.get("size")
    if not isinstance(size, int) or isinstance(size, bool):
        raise _Malformed("size")
    return Backup(
        id=_text(written, "id"),
        database=_text(written, "database"),
        app=_text(written, "app"),
        service=_text(written, "service"),
        size_bytes=size,
        started_at=_time(written, "started"),
        finished_at=_time(written, "finished"),
    )


def _read_steps(written: object) -> Mapping[str, StepTime]:
    """The steps' times. They decide nothing, so one that cannot be read is left out, and no more."""
    steps: dict[str, StepTime] = {}
    for step, time in written.items() if isinstance(written, Mapping) else ():
        match time:
            case {"began_s": int() | float() as began_s, "took_s": int() | float() as took_s} if (
                0 <= began_s <= MOST_S and 0 <= took_s <= MOST_S
            ):
                steps[str(step)] = StepTime(float(began_s), float(took_s))
    return steps


def _known_format(ours: Mapping[str, Any]) -> None:
    if ours.get("format") != FORMAT:
        raise _Malformed("format")


def _kind(ours: Mapping[str, Any]) -> Kind:
    with _malformed_values():
        return Kind(_given(ours, "kind"))


def _time(payload: Mapping[str, Any], name: str) -> datetime:
    with _malformed_values():
        return read_moment(_given(payload, name))


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Malformed("not an object")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _Malformed("not an array")
    return value


def _is_text(value: object) -> str:
    if not isinstance(value, str):
        raise _Malformed("not a string")
    return value


def _text(payload: Mapping[str, Any], name: str) -> str:
    return _is_text(payload.get(name, ""))


def _given(payload: Mapping[str, Any], name: str) -> str:
    text = _text(payload, name)
    if not text:
        raise _Malformed(name)
    return text


def _texts(payload: Mapping[str, Any], name: str) -> Mapping[str, str]:
    return {key: _is_text(value) for key, value in _mapping(payload.get(name, {})).items()}


@contextmanager
def _malformed_values() -> Iterator[None]:
    """The model refuses values of a wrong form; here that says that the payload is malformed."""
    try:
        yield
    except ValueError as error:
        raise _Malformed(str(error)) from error
