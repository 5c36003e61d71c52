"""From what was found to a draft. Pure: the same facts always make the same draft.

Targets come in *families*, records are put into *systems*, and each system gets the family whose name
carries its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from liftlock.accounts import RecordSeen
from liftlock.commands.adopt.draft import Draft, DraftApp, DraftEnvironment
from liftlock.commands.adopt.families import Family, families_of
from liftlock.commands.adopt.levels import LEVELS, in_order, split
from liftlock.commands.adopt.sources import process_sources
from liftlock.commands.adopt.survey import Found
from liftlock.errors import UsageError

DEPLOY = "deploy"


@dataclass(slots=True)
class System:
    """An app as deployment records know it."""

    name: str
    repository: str
    task: str
    template: str
    """Of the records' environments: `{env}` alone where the app shares them with others."""
    words: dict[str, str] = field(default_factory=dict)
    processes: tuple[str, ...] = ()


def infer(found: Found, name: str = "") -> Draft:
    """The draft of a file for what was found. Raises `UsageError` when there is nothing to begin from."""
    systems = systems_of(found.records)
    families, left_out = families_of(found)
    pairs = matched(systems, families)
    levels = _levels(families, pairs, systems)
    environments = _environments(levels, families, pairs, systems)
    known = {id(family) for _, family in pairs}
    apps: list[DraftApp] = []
    for family in families:
        system = next((one for one, other in pairs if other is family), None)
        lacks = [level for level in levels if level not in family.names]
        label = f"{family.stem} ({', '.join(family.names.values())})"
        if lacks:
            left_out.append((label, f"it is not in every environment: {', '.join(lacks)} has none"))
        elif system is None and pairs and _mixed(family, known, families):
            left_out.append((label, "no deployment record names it"))
        else:
            apps.append(_app(found, family, system, environments, levels, apps))
    placed = {id(system) for system, _ in pairs}
    if not apps:
        raise nothing(found, left_out)
    guesses = ["Which apps are released before which: say it with `after`."] if len(apps) > 1 else []
    if any(process.guessed for app in apps for process in app.processes):
        guesses.append("Where images come from, for `build`, `push` and `deploy`; promotions need no answer.")
    if any(app.guessed for app in apps):
        guesses.insert(0, "On which platform the apps run, and what they are called there: no file says it.")
    return Draft(
        name=name or _name(found),
        repository=found.repository or next((one.repository for one in systems), ""),
        environments=environments,
        apps=apps,
        webhook=found.checkout.webhook,
        sources=_sources(found, environments, apps),
        guesses=guesses,
        left_out=left_out,
        commands=[(one.name, one.repository) for one in systems if id(one) not in placed],
    )


def nothing(found: Found, left_out: Sequence[tuple[str, str]] = ()) -> UsageError:
    """What to say when no app is known."""
    lines = ["No app was found whose name says its environment, as in shop-dev and shop-production."]
    lines += [f"{what}: {why}." for what, why in left_out]
    lines += [f"Not known are {what}" for what in found.untold]
    return UsageError(
        "\n".join(lines),
        hint="Give it credentials and run it again, or write the file by hand: docs/how-to/add-an-app.md.",
    )


def systems_of(records: Iterable[RecordSeen]) -> list[System]:
    """The systems that records name: `deploy:SYSTEM`, or task `deploy` with environments of its own."""
    systems: dict[tuple[str, str, str], System] = {}
    for record in records:
        named = split(record.environment)
        if named is None:
            continue
        kind, _, system = record.task.partition(":")
        if kind != DEPLOY or (not system and not named.stem):
            continue
        stem = named.stem.strip("-_./ :")
        task = "" if system == (record.app or system) and system else record.task
        key = (record.repository, record.task, named.template if named.stem else "{env}")
        made = systems.setdefault(
            key, System(record.app or system or stem, record.repository, task, named.template)
        )
        made.words.setdefault(named.level, named.word)
        made.processes = made.processes or record.processes
        if record.app:
            made.name = record.app
    return sorted(systems.values(), key=lambda one: (one.repository, one.name.lower()))


def matched(systems: Sequence[System], families: Sequence[Family]) -> list[tuple[System, Family]]:
    """Each system with the family whose name carries its own; the closest names first."""
    scored = sorted(
        (
            (score, system.name, family.stem, system, family)
            for system in systems
            for family in families
            if (score := likeness(system.name, family.stem))
            if not (system.processes and family.platform != "heroku")
        ),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    pairs: list[tuple[System, Family]] = []
    for _, _, _, system, family in scored:
        if all(system is not one and family is not other for one, other in pairs):
            pairs.append((system, family))
    return pairs


def likeness(system: str, stem: str) -> int:
    """How well a system's name fits a target's: 0 for not at all, 100 for the same letters."""
    wanted = _letters(system)
    if wanted == _letters(stem):
        return 100
    parts = re.split(r"[-_]", stem.lower())
    runs = {"".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
    return min(len(wanted), 99) if wanted and wanted in runs else 0


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _levels(
    families: Sequence[Family], pairs: Sequence[tuple[System, Family]], systems: Sequence[System]
) -> list[str]:
    """The levels that most apps live in: those with records decide where there are any."""
    deciding = [family for _, family in pairs] or list(families)
    count = Counter(level for family in deciding for level in family.names)
    return in_order(level for level, times in count.items() if times * 2 >= len(deciding))


def _environments(
    levels: Sequence[str],
    families: Sequence[Family],
    pairs: Sequence[tuple[System, Family]],
    systems: Sequence[System],
) -> list[DraftEnvironment]:
    deciding = [family for _, family in pairs] or list(families)
    heroku = [family for family in deciding if family.platform == "heroku"]
    sites = [family for family in deciding if family.platform == "firebase"]
    shared = [system for system in systems if system.template == "{env}"]
    environments: list[DraftEnvironment] = []
    for level in levels:
        github = _usual(level, (system.words for system in shared))
        firebase = _usual(level, (family.words for family in sites))
        name = _usual(level, (family.words for family in heroku)) or firebase or github or LEVELS[level][0]
        environments.append(
            DraftEnvironment(
                name, github or name, firebase or name, environments[-1].name if environments else ""
            )
        )
    return environments


def _usual(level: str, words: Iterable[Mapping[str, str]]) -> str:
    """What most call a level; "" when nobody does."""
    count = Counter(each[level] for each in words if level in each)
    return count.most_common(1)[0][0] if count else ""


def _mixed(family: Family, known: set[int], families: Sequence[Family]) -> bool:
    """Whether records speak of this platform, and not of this family."""
    return any(id(other) in known and other.platform == family.platform for other in families)


def _app(
    found: Found,
    family: Family,
    system: System | None,
    environments: Sequence[DraftEnvironment],
    levels: Sequence[str],
    before: Sequence[DraftApp],
) -> DraftApp:
    name = system.name if system else family.stem
    if any(app.name == name for app in before):
        name = f"{name}-{family.platform}"
    targets = {
        environment.name: family.names[level] for environment, level in zip(environments, levels, strict=True)
    }
    place = next(
        (
            (checkout.repository, folder.folder)
            for checkout in found.checkouts
            for folder in checkout.site_folders
            if {*folder.sites, *folder.projects} & set(family.names.values())
        ),
        ("", "."),
    )
    repository = (system.repository if system else place[0]) or ""
    types = system.processes if system else ()
    sample = next((one for one in family.names.values() if found.processes.get(one)), "")
    why = [f"{', '.join(targets.values())}: {family.source}"]
    if system:
        why.append(f"records of {system.task or f'{DEPLOY}:{name}'} in {system.repository}")
    return DraftApp(
        name=name,
        platform=family.platform,
        targets=targets,
        repository="" if repository == found.repository else repository,
        folder=place[1] if family.platform == "firebase" else ".",
        database=family.database,
        processes=process_sources(found.checkout, name, family.stem, found.processes.get(sample) or types)
        if family.platform == "heroku"
        else (),
        record_task=system.task if system else "",
        record_environment=_record_environment(system, environments, levels) if system else "",
        from_records=system is not None,
        why=why,
        guessed=family.guessed,
    )


def _record_environment(
    system: System, environments: Sequence[DraftEnvironment], levels: Sequence[str]
) -> str:
    """The template of its records' environments; "" where it is the environments' own."""
    if system.template == "{env}":
        return ""
    words = [
        (system.words[level], environment)
        for level, environment in zip(levels, environments, strict=True)
        if level in system.words
    ]
    for key in ("name", "github", "firebase"):
        if all(word == getattr(environment, key) for word, environment in words):
            return system.template.replace("{env}", "{env}" if key == "name" else f"{{{key}}}")
    return system.template


def _name(found: Found) -> str:
    """The project's name: its repository's, in letters that a name may have."""
    wanted = found.repository.rpartition("/")[2] or found.checkout.root.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-_")[:64] or "project"


def _sources(
    found: Found, environments: Sequence[DraftEnvironment], apps: Sequence[DraftApp]
) -> list[tuple[str, str]]:
    told = []
    if found.repository:
        told.append((f"repository {found.repository}", "git's remote origin"))
    names = " → ".join(environment.name for environment in environments)
    told.append((f"environments {names}", "the names of apps and sites"))
    github = ", ".join(f"{one.github}" for one in environments)
    if any(one.github != one.name for one in environments):
        told.append((f"GitHub calls them {github}", "deployment records"))
    told += [(f"{app.name} ({app.platform})", "; ".join(app.why)) for app in apps]
    return told
