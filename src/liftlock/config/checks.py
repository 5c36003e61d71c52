"""What the values of a file mean to each other: references, cycles, clashes, what an app's kind allows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from liftlock.config.draft import Draft
from liftlock.config.naming import (
    by_environment,
    platforms_of,
    record_name,
    registry_of,
    target_name,
    vendor_names,
)
from liftlock.config.places import Key
from liftlock.config.schema import LEDGERS, PLATFORMS, PULLS_NOTHING, AppTable, BackupTable, File
from liftlock.config.values import (
    DIRECTORY,
    HEROKU_APP,
    REGISTRY,
    SECRET,
    SERVICE,
    SITE,
    did_you_mean,
    ledger_scheme,
    shown,
)

_TARGET_NAMES = {
    "heroku": (
        HEROKU_APP,
        "a Heroku app's name",
        "It has 3 to 30 of a-z, 0-9 and -, and begins with a letter.",
    ),
    "swarm": (SERVICE, "a stack's name", "It has at most 63 letters and digits, and - or _ between."),
    "directory": (DIRECTORY, "a directory", "It has no blanks at its ends, no .. and no / at its end."),
    "firebase": (SITE, "a Firebase site's name", "It has at most 63 of a-z, 0-9 and -, and - only inside."),
}

SOURCES = ("image", "dockerfile", "archive", "layout", "directory")
"""Of these keys, a process type has exactly one."""
OF_DIRECTORIES = ("public", "url", "keep")
OF_DOCKERFILES = ("context", "target", "args", "platform", "secrets")


def check(file: File, draft: Draft, added_platforms: frozenset[str], added_ledgers: Collection[str]) -> None:
    """Note everything in `file` that is well formed and still cannot be."""
    _check_project(file, draft, added_ledgers)
    _check_sign_in(file, draft)
    _check_references(
        draft,
        "environments",
        "from",
        {name: table.promotes_from for name, table in file.environments.items()},
    )
    _check_references(draft, "apps", "after", {name: app.after for name, app in file.apps.items()})
    for name, app in file.apps.items():
        _check_app(file, draft, name, app, added_platforms)
    _check_repositories(file, draft, added_platforms)
    _check_targets(file, draft, added_platforms)
    _check_records(file, draft)


def _check_project(file: File, draft: Draft, added_ledgers: Collection[str]) -> None:
    ledger = ledger_scheme(file.project.ledger)
    known = [*LEDGERS, *(each for each in added_ledgers if each not in LEDGERS)]
    if ledger not in known:
        draft.note(
            ("project", "ledger"),
            f"there is no ledger {shown(ledger)}.",
            did_you_mean(ledger, known, "Ledgers"),
        )
    if ledger == "github" and not file.project.repository:
        draft.note(
            ("project", "repository"),
            "is missing: the ledger is GitHub's.",
            'Write repository = "OWNER/NAME".',
        )


def _check_sign_in(file: File, draft: Draft) -> None:
    github, oidc = file.serve.sign_in.github, file.serve.sign_in.oidc
    if github and oidc:
        draft.note(
            ("serve", "sign_in"),
            "names two ways to sign in.",
            "Keep one: an account of the one could be another person than that of the other.",
        )
    for environment, table in file.environments.items():
        for right, people in table.roles:
            for index, name in enumerate(people):
                place = ("environments", environment, "roles", right, index)
                if name.startswith("team:") and oidc and not github:
                    draft.note(place, f"{shown(name)} is a team of GitHub.", 'Write "group:NAME".')
                if name.startswith("group:") and github and not oidc:
                    draft.note(
                        place, f"{shown(name)} is no team of GitHub.", 'Write "team:ORGANISATION/TEAM".'
                    )


def _check_references(draft: Draft, kind: str, word: str, references: Mapping[str, Sequence[str]]) -> None:
    what = kind.removesuffix("s")
    for name, others in references.items():
        for index, other in enumerate(others):
            place = (kind, name, word, index)
            if other in others[:index]:
                draft.note(place, f"{shown(other)} is named twice.")
            elif other not in references and not draft.is_noted((kind, other)):
                hint = did_you_mean(other, references, f"{kind.capitalize()}")
                draft.note(place, f"there is no {what} {shown(other)}.", hint)
    for cycle in _cycles(references):
        path = " → ".join((*cycle, cycle[0]))
        draft.note((kind, cycle[0], word), f"goes in a circle: {path}.", "Take one of them out.")


def _cycles(references: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, ...]]:
    """One circle for every name that can be reached from itself and is in no circle told before."""
    finished: set[str] = set()
    for start in references:
        path: list[str] = []
        ahead = [iter((start,))]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                if path:
                    finished.add(path.pop())
            elif name in path:
                yield tuple(path[path.index(name) :])
            elif name in references and name not in finished:
                path.append(name)
                ahead.append(iter(references[name]))


def _check_app(file: File, draft: Draft, name: str, app: AppTable, added_platforms: frozenset[str]) -> None:
    key: Key = ("apps", name)
    platforms = platforms_of(app, added_platforms)
    known = (*PLATFORMS, *sorted(added_platforms))
    if len(platforms) > 1:
        draft.note(
            (*key, platforms[1]), f"is a second platform: {name} has {platforms[0]} already.", "Keep one."
        )
    elif not platforms:
        if not any(draft.is_noted((*key, platform)) for platform in known):
            choices = ", ".join(known)
            draft.note(key, "says nowhere where the app lives.", f"Write exactly one of {choices}.")
        return
    _check_kind(draft, key, app, platforms[0])
    _check_processes(draft, key, app, platforms[0])
    if platforms[0] == "directory":
        _check_site(file, draft, key, app)
    if platforms[0] not in PULLS_NOTHING:
        _check_registry(file, draft, name, app)
    if isinstance(app.backup, BackupTable):
        _check_backup(file, draft, (*key, "backup", "url"), app.backup)
    repository = app.repository or file.project.repository
    if platforms[0] == "command" and not repository and not draft.is_noted(("project", "repository")):
        draft.note((*key, "repository"), "is missing: a command runs in a checkout.", 'Write "OWNER/NAME".')


def _check_kind(draft: Draft, key: Key, app: AppTable, platform: str) -> None:
    """Keys that this kind of app does not have. An added platform may have any."""
    unfit = {
        "heroku": {
            "folder": "only sites and commands have one",
            "options": "only added platforms have any",
            "registry": "Heroku runs images from its own registry alone; `archive` keeps them elsewhere too",
        },
        "firebase": {
            "processes": "a site has none",
            "health": "only containers have one",
            "backup": "a site has no database",
            "options": "only added platforms have any",
            "registry": "a site has no image",
        },
        "directory": {
            "processes": "a site has none",
            "backup": "a site has no database",
            "options": "only added platforms have any",
            "registry": "a site has no image",
        },
        "command": {
            "processes": "a command has none",
            "health": "only containers have one",
            "backup": "its platform knows of no database; name one, with url and folder",
            "options": "only added platforms have any",
            "registry": "a command has no image",
        },
        "swarm": {
            "folder": "only sites and commands have one",
            "health": "the engine's own health check counts, as the Compose file says it",
            "backup": "its platform knows of no database; name one, with url and folder",
            "options": "only added platforms have any",
        },
    }
    for other in ("heroku", "firebase", "directory", "command"):
        unfit[other]["compose"] = "only an app on a swarm has one"
    reasons = unfit.get(platform, {})
    if platform in PLATFORMS and platform != "directory":
        reasons |= dict.fromkeys(OF_DIRECTORIES, "only sites in a directory have one")
    for word, reason in reasons.items():
        named = (
            platform not in {"firebase", "directory"}
            and isinstance(app.backup, BackupTable)
            and word == "backup"
        )
        if word in app.model_fields_set and getattr(app, word) is not False and not named:
            draft.note((*key, word), f"does not fit an app on {platform}: {reason}.", "Take it out.")


def _check_backup(file: File, draft: Draft, place: Key, backup: BackupTable) -> None:
    names = backup.url if isinstance(backup.url, dict) else {}
    _check_environments(file, draft, place, names)
    for environment, table in file.environments.items():
        reference = by_environment(backup.url, environment, vendor_names(environment, table))
        if reference is None:
            draft.note(place, f"has no address for {environment}.", f'Write {environment} = "env:…" in it.')
        elif not re.fullmatch(SECRET, reference):
            draft.note(
                (*place, environment) if names else place,
                f"{shown(reference)} in {environment} names no variable: they have letters, digits and _.",
                f'Write a table, as in {{ {environment} = "env:DATABASE_URL" }}.',
            )


def _check_site(file: File, draft: Draft, key: Key, app: AppTable) -> None:
    """Where a site in a directory is served: its health path is asked there."""
    if app.health and not app.url:
        draft.note((*key, "url"), "is missing: health is asked there.", 'Write url = "https://…".')
    names = app.url if isinstance(app.url, dict) else {}
    _check_environments(file, draft, (*key, "url"), names)
    for environment in file.environments:
        if names and environment not in names:
            draft.note(
                (*key, "url"),
                f"has no address for {environment}.",
                f'Write {environment} = "https://…" in it.',
            )


def _check_registry(file: File, draft: Draft, name: str, app: AppTable) -> None:
    """Where an app that is pulled from any registry has its images, in each environment."""
    place: Key = ("apps", name, "registry") if app.registry else ("project", "registry")
    names = app.registry or file.project.registry
    if not names and app.swarm and not draft.is_noted(("project", "registry")):
        draft.note(
            ("apps", name, "registry"),
            "is missing: the engine pulls the app's images from a registry.",
            'Write registry = "HOST/PATH" here, or in [project] for all apps.',
        )
    _check_environments(file, draft, place, names)
    for environment, table in file.environments.items():
        found = registry_of(app, file.project, environment, vendor_names(environment, table))
        spot = (*place, environment) if isinstance(names, dict) else place
        if found is None:
            draft.note(place, f"has no place for {environment}.", f'Write {environment} = "HOST/PATH" in it.')
        elif found and not re.fullmatch(REGISTRY, f"{found}/{name.lower()}"):
            draft.note(
                spot,
                f"{shown(f'{found}/{name.lower()}')} in {environment} cannot be a repository of a registry.",
                "Its parts have small letters and digits, and . _ or - between them.",
            )


def _check_repositories(file: File, draft: Draft, added_platforms: frozenset[str]) -> None:
    """Names that differ in case alone are one repository, and the images of one app would be the other's."""
    owners: dict[tuple[object, str], str] = {}
    for name, app in file.apps.items():
        if not set(platforms_of(app, added_platforms)) <= {*PULLS_NOTHING}:
            place = str(app.registry or file.project.registry)
            owner = owners.setdefault((place, name.lower()), name)
            if owner != name and place:
                reason = (
                    f"{name} and {owner} would share the repositories of {name.lower()} in {shown(place)}."
                )
                draft.note(("apps", name), reason, "Rename one, or give it a registry of its own.")


def _check_environments(file: File, draft: Draft, place: Key, names: str | Mapping[str, str]) -> None:
    """Note the names of a table by environment that no environment has."""
    for environment in names if isinstance(names, Mapping) else ():
        if environment not in file.environments and not draft.is_noted(("environments", environment)):
            hint = did_you_mean(environment, file.environments, "Environments")
            draft.note((*place, environment), f"there is no environment {shown(environment)}.", hint)


def _check_processes(draft: Draft, key: Key, app: AppTable, platform: str) -> None:
    has_none = not app.processes.keys() - ({"release"} if platform == "swarm" else set())
    if platform in {"heroku", "swarm"} and has_none and not draft.is_noted_below((*key, "processes")):
        draft.note(key, "has no process types.", 'Write at least processes.web = { image = "…" }.')
    for process, table in app.processes.items():
        place = (*key, "processes", process)
        if draft.is_noted_below(place):
            continue
        sources = [word for word in SOURCES if getattr(table, word)]
        if len(sources) != 1:
            found = f"has {' and '.join(sources)}" if sources else "does not say where its image comes from"
            draft.note(
                place, f"{found}.", "Write exactly one of image, dockerfile, archive, layout and directory."
            )
            continue
        if table.directory and not table.command:
            draft.note(place, "has a directory and no command.", 'Write command = ["PROGRAM", …].')
        if table.command and not table.directory:
            reason = "goes with directory alone; an image has its own command."
            draft.note((*place, "command"), reason, "Take it out.")
        if table.service and platform != "swarm":
            draft.note((*place, "service"), "is for apps on a swarm alone.", "Take it out.")
        for word in OF_DOCKERFILES:
            if getattr(table, word) and not table.dockerfile:
                draft.note((*place, word), "goes with dockerfile alone.", "Take it out.")


def _check_targets(file: File, draft: Draft, added_platforms: frozenset[str]) -> None:
    owners: dict[tuple[str, str], tuple[str, str]] = {}
    for name, app in file.apps.items():
        for platform in platforms_of(app, added_platforms)[:1]:
            if platform != "command":
                _check_targets_of(file, draft, name, app, platform, owners)


def _check_targets_of(
    file: File,
    draft: Draft,
    name: str,
    app: AppTable,
    platform: str,
    owners: dict[tuple[str, str], tuple[str, str]],
) -> None:
    place: Key = ("apps", name, platform)
    names = getattr(app, platform)
    _check_environments(file, draft, place, names)
    for environment, table in file.environments.items():
        target = target_name(name, app, platform, environment, vendor_names(environment, table))
        if target is None:
            draft.note(place, f"has no name for {environment}.", f'Write {environment} = "…" in it.')
            continue
        spot = (*place, environment) if isinstance(names, dict) else place
        pattern, what, rule = _TARGET_NAMES.get(platform, (r"\S+", "a name", "It has no blanks."))
        if not re.fullmatch(pattern, target):
            draft.note(spot, f"{shown(target)} in {environment} is not {what}.", rule)
        mine = (name, environment)
        places = _places_of(app, platform, target, table.docker)
        owner = next((o for o in (owners.setdefault((platform, p), mine) for p in places) if o != mine), mine)
        if owner != mine:
            whose = f"{owner[0]} in {owner[1]}" if owner[0] != name else f"{name} itself in {owner[1]}"
            own = "Give each environment its own." if isinstance(names, dict) else "Put {env} into the name."
            hint = own if owner[0] == name else "Two apps cannot live in one place."
            draft.note(spot, f"{shown(target)} in {environment} is already the place of {whose}.", hint)
        if platform == "directory":
            for _, other in [
                place for place in owners if place[0] == platform and _is_below(target, place[1])
            ]:
                reason = f"{shown(target)} in {environment} is inside {shown(other)}, or about it."
                draft.note(spot, reason, "Put them side by side.")


def _is_below(one: str, other: str) -> bool:
    """Whether one of two different paths is inside the other."""
    return one != other and (one.startswith(f"{other}/") or other.startswith(f"{one}/"))


def _places_of(app: AppTable, platform: str, target: str, docker: str) -> list[str]:
    """What no other target may have. On a swarm these are its services: apps may share a stack."""
    if platform != "swarm":
        return [target]
    return [f"{docker} {target}_{process.service or name}" for name, process in app.processes.items()]


def _check_records(file: File, draft: Draft) -> None:
    owners: dict[tuple[str, str, str], tuple[str, str]] = {}
    for name, app in file.apps.items():
        for environment, table in file.environments.items():
            vendors = vendor_names(environment, table)
            record = record_name(name, app, file.project.repository, environment, vendors)
            # GitHub takes repositories and environments that differ in case alone for the same.
            same = (record.repository.lower(), record.task, record.environment.lower())
            owner = owners.setdefault(same, (name, environment))
            if owner != (name, environment):
                draft.note(
                    _record_place(app, name, environment, owner),
                    f"the records of {name} in {environment} would be those of {owner[0]} in {owner[1]} "
                    f"(task {shown(record.task)}, environment {shown(record.environment)}).",
                    "Give each its own task or environment.",
                )


def _record_place(app: AppTable, name: str, environment: str, owner: tuple[str, str]) -> Key:
    if app.record.task or app.record.environment:
        return ("apps", name, "record")
    if owner[0] == name:
        return ("environments", environment, "github")
    return ("apps", name)
