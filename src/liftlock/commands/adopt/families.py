"""Targets put together that are one app: by their names (`shop-dev`, `shop-staging`), or by what tells of them.

Heroku's own answer counts most, then what files name; where they only say what is deployed, names are made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from liftlock.accounts import HerokuApp
from liftlock.commands.adopt.checkout import Checkout
from liftlock.commands.adopt.heroku_names import HerokuName
from liftlock.commands.adopt.levels import LEVELS, split
from liftlock.commands.adopt.survey import Found
from liftlock.model import EMPTY

GUESSED_LEVELS = ("development", "staging", "production")


@dataclass(slots=True)
class Family:
    """Targets on one platform that are one app in several environments."""

    stem: str
    platform: str
    names: dict[str, str] = field(default_factory=dict)
    """By level."""
    words: dict[str, str] = field(default_factory=dict)
    """What its names call each level."""
    source: str = ""
    database: bool = False
    guessed: bool = False
    """Whether its names are made up: the files say what is deployed, and not where."""


def families_of(found: Found) -> tuple[list[Family], list[tuple[str, str]]]:
    """The families of Heroku apps and of sites, and what is in none."""
    families: dict[tuple[str, str], Family] = {}
    left_out: list[tuple[str, str]] = []
    loose: list[HerokuApp] = []
    for app in found.apps:
        named = split(app.name)
        if not app.container:
            left_out.append((app.name, "it runs no containers"))
        elif named is None or not named.stem:
            loose.append(app)
        else:
            _join(families, named.stem, named.level, app, named.word)
    for app in loose:
        if ("heroku", app.name) in families and "production" not in families["heroku", app.name].names:
            _join(families, app.name, "production", app, "")  # `shop` beside `shop-staging`
        elif app.pipeline and app.stage in LEVELS:
            _join(families, app.pipeline, app.stage, app, "")
        else:
            left_out.append((app.name, "neither its name nor a pipeline says its environment"))
    aliases = _site_aliases(found)
    for site, source in found.sites.items():
        named = split(site)
        stem = named.stem if named else ""
        if not stem and site in aliases:
            stem, alias = aliases[site]
            named = split(alias)
        if named is None or not stem:
            left_out.append((site, "its name does not say its environment"))
            continue
        family = families.setdefault(("firebase", stem), Family(stem, "firebase", source=source))
        family.names.setdefault(named.level, site)
        family.words.setdefault(named.level, named.word)
    if not any(family.platform == "heroku" for family in families.values()):
        for one in found.checkout.heroku_names if not found.apps else ():
            _add_named(families, left_out, found.checkout, one)
        if not any(family.platform == "heroku" for family in families.values()):
            for stem in found.checkout.script_targets:
                families["heroku", stem] = _made_up(stem, found.checkout, found.checkout.script)
    asked = found.apps or found.checkout.heroku_names
    if not asked and not any(family.platform == "heroku" for family in families.values()):
        words = {level: word for family in families.values() for level, word in family.words.items()}
        for stem, source in _built(found.checkout):
            families["heroku", stem] = _made_up(stem, found.checkout, source, words, guessed=True)
    return sorted(families.values(), key=lambda one: (one.platform != "heroku", one.stem)), left_out


def _site_aliases(found: Found) -> dict[str, tuple[str, str]]:
    """What a .firebaserc says of projects whose own names say no environment: the app's stem, and the alias."""
    return {
        project: (checkout.name if place.folder == "." else place.folder.rpartition("/")[2], alias)
        for checkout in found.checkouts
        for place in checkout.site_folders
        for project, alias in place.aliases.items()
    }


def _add_named(
    families: dict[tuple[str, str], Family],
    left_out: list[tuple[str, str]],
    checkout: Checkout,
    one: HerokuName,
) -> None:
    """Put an app that only files name into its family."""
    named = split(one.name)
    if one.is_stem:
        families.setdefault(("heroku", one.name), _made_up(one.name, checkout, one.place))
        return
    if named is not None and named.stem:
        stem, level, word = named.stem, named.level, named.word
    elif one.level:
        stem, level, word = checkout.name, one.level, ""
    else:
        left_out.append((f"{one.name} ({one.place})", "neither its name nor a remote says its environment"))
        return
    family = families.setdefault(("heroku", stem), Family(stem, "heroku", source=one.place))
    family.names.setdefault(level, one.name)
    if word:
        family.words.setdefault(level, word)


def _made_up(
    stem: str, checkout: Checkout, source: str, words: Mapping[str, str] = EMPTY, *, guessed: bool = False
) -> Family:
    """A family whose names follow its stem, in the environments that others have, that workflows name, or
    in the usual ones."""
    told = {named.level: named.word for name in checkout.environments if (named := split(name))}
    told = dict(words) or told or {level: LEVELS[level][0] for level in GUESSED_LEVELS}
    names = {level: f"{stem}-{word}".lower() for level, word in told.items()}
    return Family(stem, "heroku", names, told, source, guessed=guessed)


def _built(checkout: Checkout) -> list[tuple[str, str]]:
    """What a checkout seems to deploy by its Dockerfiles or its Procfile alone: a name, and the file."""
    stem = _letters_of_names(checkout.name)
    if checkout.process_types:
        return [(stem, "the process types of its heroku.yml or Procfile")]
    folders = [path for path in checkout.dockerfiles if path.rpartition("/")[0]]
    if len(checkout.dockerfiles) > 1 and folders:
        named = {f"{stem}-{_letters_of_names(path.split('/')[-2])}": path for path in reversed(folders)}
        return sorted(named.items())
    return [(stem, path) for path in checkout.dockerfiles[:1]]


def _letters_of_names(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"


def _join(families: dict[tuple[str, str], Family], stem: str, level: str, app: HerokuApp, word: str) -> None:
    source = f"Heroku's pipeline {app.pipeline}" if app.pipeline else "Heroku"
    family = families.setdefault(("heroku", stem), Family(stem, "heroku", source=source))
    family.names.setdefault(level, app.name)
    if word:
        family.words.setdefault(level, word)
    family.database = family.database or app.database
