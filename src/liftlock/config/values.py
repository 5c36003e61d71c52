"""What a single value of the file may be: durations, names, templates, addresses, secrets.

Each check takes what TOML gave and returns what it means, or raises `Mistake`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from liftlock.naming import nearest

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
PROCESS = r"[a-z0-9]+([_-]+[a-z0-9]+)*"  # it names a repository in the platform's registry
REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+"
REGISTRY = r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
IMAGE = r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
SECRET = rf"(env:{VARIABLE}|keyring:[^\s:]+)"
MOUNT_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
BUILD_SECRET = rf"env:{VARIABLE}"
BUILD_PLATFORM = r"linux/[a-z0-9]+(/v[0-9]+)?"
DURATION = r"[0-9]{1,9}(ms|s|m|h|d)"
HEALTH = r"/([^/\s]\S*)?"
SERVICE = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
"""A service's name on a swarm. Source: moby/swarmkit, `manager/controlapi/common.go`."""

SITE = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""A Firebase Hosting site's id is a label of its domain name."""
DIRECTORY = r"(?!(.*/)?\.\.(/|$))[^\s\0](.*[^\s/\0])?"
"""A folder's path: absolute, or from where the file is; never upwards."""
HEROKU_APP = r"[a-z][a-z0-9-]{1,28}[a-z0-9]"
"""Source: Heroku Platform API schema, definition `app`, property `name`."""

PLACEHOLDERS = ("env", "github", "firebase")
# Neither a shell's ${NAME} nor another template language's {{name}} is one of ours.
_PLACEHOLDER = re.compile(r"(?<![{$])\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")

LONGEST_S = 3653 * 86400.0
"""The longest that a duration may be: beyond it, dates cannot be reckoned with."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LOOPBACK = re.compile(r"localhost|.+\.localhost|127(\.[0-9]{1,3}){3}|::1")

_TOKENS = re.compile(
    r"gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"  # GitHub
    r"|HRKU-[\w-]{20,}"  # Heroku
    r"|xox[abeprs]-[\w-]{10,}|hooks\.slack\.com/services/\w"  # Slack
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY"  # Google
    r"|(AKIA|ASIA)[A-Z0-9]{16}"  # AWS
)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@|://\S+[?&](password|secret|token|key)=")


class Mistake(ValueError):
    """A value that cannot be; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def did_you_mean(word: str, known: Collection[str], what: str) -> str:
    """A hint that names the nearest valid name, or else all of them."""
    near = nearest(word, known)
    if near:
        return f'Did you mean "{near}"?'
    return f"{what}: {', '.join(known)}." if known else ""


def shown(value: str) -> str:
    """`value` in quotes, cut to what fits in a message."""
    text = value if len(value) <= 60 else value[:57] + "…"
    return f'"{text}"' if text.isprintable() else repr(text)


def duration_s(text: str) -> float:
    """The seconds that "500ms", "30s", "10m", "2h" or "1d" mean. Raises `Mistake`."""
    if not re.fullmatch(DURATION, text):
        raise Mistake(f"{shown(text)} is not a duration.", 'Write "500ms", "30s", "10m", "2h" or "1d".')
    number = text.rstrip("mshd")
    seconds = int(number) * _SECONDS[text[len(number) :]]
    if seconds > LONGEST_S:
        raise Mistake(f"{shown(text)} is longer than ten years.", "Is the unit right?")
    return seconds


def duration(text: str) -> str:
    duration_s(text)
    return text


def name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise Mistake(
            f"{shown(text)} cannot be a name.",
            "Use letters, digits, - and _, beginning with a letter or digit, at most 64.",
        )
    return text


def process_type(text: str) -> str:
    if not re.fullmatch(PROCESS, text):
        lower = text.lower()
        near = f'Did you mean "{lower}"?' if re.fullmatch(PROCESS, lower) else ""
        raise Mistake(
            f"{shown(text)} cannot be a process type.",
            near or "Use a-z, 0-9, and - or _ between them.",
        )
    if text != "release" and "release" not in text and nearest(text, ["release"], begun=False):
        raise Mistake(f"{shown(text)} would run as an ordinary process.", 'Did you mean "release"?')
    return text


def repository(text: str) -> str:
    if not re.fullmatch(REPOSITORY, text):
        raise Mistake(f"{shown(text)} is not a GitHub repository.", 'Write "OWNER/NAME".')
    return text


def registry(text: str) -> str:
    if not re.fullmatch(REGISTRY, text):
        raise Mistake(
            f"{shown(text)} is not a place in a registry.", 'Write HOST/PATH, as in "ghcr.io/example".'
        )
    return text


def registries(value: Any) -> str | dict[str, str]:
    """Where the images of each environment are: a template, or a table by environment."""
    found = names_by_environment(value)
    for each in found.values() if isinstance(found, dict) else [found]:
        place = filled(each, dict.fromkeys(PLACEHOLDERS, "x"))
        host = registry(place).partition("/")[0]
        if host != "localhost" and not re.search(r"[.:]", host):
            raise Mistake(
                f"{shown(each)} does not begin with a registry's host.",
                'Write HOST/PATH, as in "registry.example.com/observatory".',
            )
    return found


def addresses(value: Any) -> str | dict[str, str]:
    """Where people and health checks reach a site: a template, or a table by environment."""
    found = names_by_environment(value)
    for each in found.values() if isinstance(found, dict) else [found]:
        endpoint(filled(each, dict.fromkeys(PLACEHOLDERS, "x")), "would be asked for at")
    return found


def image(text: str) -> str:
    if not re.fullmatch(IMAGE, text):
        raise Mistake(f"{shown(text)} is not an image's name.", 'Write it as in "example/service".')
    return text


def docker_host(text: str) -> str:
    """Where a Docker engine is, as `DOCKER_HOST` names it."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    is_right = {
        "unix": not parts.netloc and parts.path.startswith("/"),
        "ssh": bool(host) and not host.startswith("-"),
        "tcp": bool(host),
    }
    if not is_right.get(parts.scheme) or re.search(r"[\s\0]", text):
        raise Mistake(
            "is not where a Docker engine is.",
            'Write "unix:///PATH", "ssh://USER@HOST" or "tcp://HOST:2376".',
        )
    if parts.password is not None:
        raise Mistake("holds a password.", "ssh finds its keys by itself.")
    return text


def service_name(text: str) -> str:
    if not re.fullmatch(SERVICE, text):
        raise Mistake(
            f"{shown(text)} cannot be a service's name.", "Use letters, digits, and - or _ between."
        )
    return text


def health_path(text: str) -> str:
    if not re.fullmatch(HEALTH, text):
        raise Mistake(f"{shown(text)} is not a path.", 'A health path begins with one "/", as in "/health".')
    return text


def relative_path(text: str) -> str:
    path = PurePosixPath(text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts:
        raise Mistake(
            f"{shown(text)} is not a path inside the repository.",
            'Write it without a leading "/" and without "..".',
        )
    return text


def not_empty(text: str) -> str:
    if not text.strip():
        raise Mistake("is empty.")
    return text


def template(text: str) -> str:
    """A text in which `{env}`, `{github}` and `{firebase}` stand for names of an environment."""
    not_empty(text)
    for word in _PLACEHOLDER.findall(text):
        if word not in PLACEHOLDERS:
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise Mistake(f"there is no placeholder {{{word}}}.", f"There are {known}.")
    return text


def record_task(text: str) -> str:
    if text.startswith("liftlock:"):
        raise Mistake('tasks that begin with "liftlock:" are liftlock\'s own.', "Choose another task.")
    return template(text)


def filled(text: str, names: Mapping[str, str]) -> str:
    """`text` with the placeholders replaced by `names`."""
    return _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), text)


def names_by_environment(value: Any) -> str | dict[str, str]:
    """A template, or a table that names each environment's target."""
    if isinstance(value, str):
        return template(value)
    if isinstance(value, dict) and value and all(isinstance(each, str) for each in value.values()):
        return {environment: template(each) for environment, each in value.items()}
    raise Mistake(
        "must be a name, or a table with each environment's name.",
        'Write "x-{env}" or { dev = "x-1", production = "x-2" }.',
    )


def arguments(value: list[str]) -> list[str]:
    """A command line as a list; the first item is the program."""
    if not value or not value[0].strip():
        raise Mistake("is empty.", 'Write the program and its arguments, as in ["./migrate", "status"].')
    for each in value:
        if "\0" in each:
            raise Mistake("holds a NUL character.")
    return value


def required_checks(value: Any) -> bool | list[str]:
    """Names of checks, or true for every check that there is."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) and each.strip() for each in value):
        if len(set(value)) < len(value):
            raise Mistake("names a check twice.", "Name each once.")
        return value
    raise Mistake(
        "must be the names of checks, or true for all that there are.",
        'Write ["ci/test", "lint"] or true.',
    )


def argument_templates(value: list[str]) -> list[str]:
    for each in arguments(value):
        if each:
            template(each)
    return value


def variable_names(value: list[str]) -> list[str]:
    for each in value:
        if not re.fullmatch(VARIABLE, each):
            # Not shown: what stands after an "=" is most likely a secret.
            raise Mistake("lists names of environment variables alone.", 'Write ["NAME"], without a value.')
    return value


def variable_name(text: str) -> str:
    if not re.fullmatch(VARIABLE, text):
        raise Mistake(f"{shown(text)} cannot be a name here.", "Use letters, digits and _, no digit first.")
    return text


def mount_id(text: str) -> str:
    if not re.fullmatch(MOUNT_ID, text):
        raise Mistake(f"{shown(text)} cannot be a secret's id.", "Use letters, digits, and . - or _ between.")
    return text


def build_secret(text: str) -> str:
    """Where a build's secret is to be read. The text is never shown, as in `secret_reference`."""
    if not re.fullmatch(BUILD_SECRET, text):
        raise Mistake("is not where a secret is to be read.", 'Write "env:NAME" for an environment variable.')
    return text


def build_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Mistake(f"{shown(text)} cannot be split into words: {error}.", "Close the quotes.") from error
    if not words:
        raise Mistake("is empty.", 'Write the program and its arguments, as in "sbt Docker/publishLocal".')
    return text


def build_platform(text: str) -> str:
    if not re.fullmatch(BUILD_PLATFORM, text):
        raise Mistake(f"{shown(text)} is not a platform.", 'Write it as in "linux/amd64".')
    return text


def path_pattern(text: str) -> str:
    """A pattern of paths below the repository's root, as in `.gitignore`: `**` crosses folders."""
    parts = text.split("/")
    if not text.strip() or text.startswith(("/", "!")) or ".." in parts:
        raise Mistake(f"{shown(text)} is not a pattern of paths.", 'Write it as in "odb/**" or "build.sbt".')
    return text


def secret_reference(text: str) -> str:
    """Where a secret is to be read. The text is never shown: it may be the secret itself."""
    if not re.fullmatch(SECRET, text):
        kind = "an address that works as a password" if "://" in text else "the value itself"
        raise Mistake(
            f"is a secret, and {kind} must not stand in the file.",
            'Write "env:NAME" for an environment variable or "keyring:NAME" for the keyring.',
        )
    return text


def secret_references(value: Any) -> str | dict[str, str]:
    """Where a secret is to be read in each environment: a template, or a table by environment."""
    found = names_by_environment(value)
    for each in found.values() if isinstance(found, dict) else [found]:
        secret_reference(filled(each, dict.fromkeys(PLACEHOLDERS, "x")))
    return found


def looks_secret(text: str) -> bool:
    """Whether a value looks like a credential, by the vendors' own prefixes."""
    return bool(_TOKENS.search(text) or _PASSWORD_IN_ADDRESS.search(text))


def endpoint(text: str, danger: str = "would send credentials to") -> str:
    """A base address, without a trailing slash. Plain http goes to loopback alone."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Mistake("is not an address.", 'Write it as in "https://api.github.com".') from None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\0]", text):
        raise Mistake("is not an address.", 'Write it as in "https://api.github.com".')
    if parts.username is not None or parts.query or parts.fragment:
        raise Mistake("has more than scheme, host, port and path.", "Credentials do not belong in it.")
    if parts.scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise Mistake(
            f"{danger} {host} over plain http.",
            "Use https; plain http is for loopback alone.",
        )
    return text.rstrip("/")


def ledger_scheme(text: str) -> str:
    """The kind of ledger that an address names: `sqlite` of `sqlite:///liftlock.db`."""
    return text.partition(":")[0]


def ledger(text: str) -> str:
    """`github`, an SQLite file, a PostgreSQL database; others are told by their scheme."""
    scheme, (_, separator, rest) = ledger_scheme(text), text.partition("://")
    if scheme == "sqlite" and (
        not separator or not rest.startswith("/") or rest.strip("/") in {"", ":memory:"}
    ):
        raise Mistake(f"{shown(text)} names no file.", 'Write "sqlite:///liftlock.db".')
    if scheme == "postgresql" and (not separator or not rest.strip("/")):
        raise Mistake(f"{shown(text)} names no database.", 'Write "postgresql://HOST/DATABASE".')
    if scheme == "github" and separator:
        raise Mistake(
            f"{shown(text)} is not a ledger.", 'Write "github"; the repositories are named by `repository`.'
        )
    return not_empty(text)
