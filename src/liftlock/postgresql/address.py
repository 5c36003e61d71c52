"""A PostgreSQL database's address, and how it is given to PostgreSQL's own programs.

Never as an argument, which every user of the machine can read: by environment variables, and the
password by a file that only its owner can read (PGPASSFILE).
Source: PostgreSQL manual, "Connection URIs", "Environment Variables", "The Password File".
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from liftlock.errors import UsageError
from liftlock.model import EMPTY

VARIABLES = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "hostaddr": "PGHOSTADDR",
    "options": "PGOPTIONS",
    "require_auth": "PGREQUIREAUTH",
    "sslcert": "PGSSLCERT",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""By parameter of an address: the environment variable that says the same."""
_PLACES = ("host", "port", "user", "password", "dbname")
_PASSED_ON = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TMPDIR", "TZ")
_OWN = ("PGPASSFILE", "PGPASSWORD")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and as whom it is used."""

    host: str
    port: str
    user: str
    database: str
    password: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    @property
    def identity(self) -> str:
        """The same for everybody who uses this database, whoever they are; tells no name of a host."""
        place = "\0".join((self.host.lower(), self.port or "5432", self.database))
        return f"postgresql-{hashlib.sha256(place.encode()).hexdigest()[:12]}"

    @property
    def server(self) -> str:
        """The server in words, without secrets."""
        return f"{self.host or 'this machine'}:{self.port or '5432'}"


def read_address(text: str, where: str) -> Address:
    """The address that `text`, the value of `where`, means. Raises `UsageError`, which never shows it."""
    try:
        parts = urlsplit(text.strip())
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        hosts = parts.netloc.rpartition("@")[2].split(",")
        found = {
            "host": ",".join(unquote(_host(each)[0]) for each in hosts),
            "port": ",".join(_host(each)[1] for each in hosts).strip(","),
            "user": unquote(user),
            "password": unquote(password),
            "dbname": unquote(parts.path.removeprefix("/")),
        }
    except ValueError as error:
        raise _bad(where, "cannot be read as one") from error
    if parts.scheme not in {"postgres", "postgresql"}:
        raise _bad(where, "does not begin with postgresql://")
    found |= {name: parameters.pop(name) for name in _PLACES if name in parameters}
    unknown = sorted(parameters.keys() - VARIABLES.keys())
    if unknown:
        raise _bad(where, f"has the parameter {unknown[0]!r}, which is not known")
    if any("\n" in each or "\0" in each for each in (*found.values(), *parameters.values())):
        raise _bad(where, "holds a line break")
    if not found["dbname"]:
        raise _bad(where, "names no database")
    return Address(
        found["host"], found["port"], found["user"], found["dbname"], found["password"], parameters
    )


@contextmanager
def variables(address: Address, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a program that is to use this database, for as long as it runs.

    Of our own environment only what every program needs is passed on; where the address has no
    password, what PGPASSWORD, PGPASSFILE and ~/.pgpass say still holds.
    """
    given = {name: environ[name] for name in _PASSED_ON if name in environ}
    given |= {VARIABLES[name]: value for name, value in address.settings.items()}
    given |= {"LC_ALL": "C", "PGDATABASE": address.database, "PGCLIENTENCODING": "UTF8"}
    for name, value in (("PGHOST", address.host), ("PGPORT", address.port), ("PGUSER", address.user)):
        if value:
            given[name] = value
    if not address.password:
        yield given | {name: environ[name] for name in _OWN if name in environ}
        return
    handle, name = tempfile.mkstemp(prefix="liftlock-")  # only its owner can read it
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            escaped = address.password.replace("\\", "\\\\").replace(":", "\\:")
            file.write(f"*:*:*:*:{escaped}\n")
        yield given | {"PGPASSFILE": name}
    finally:
        Path(name).unlink(missing_ok=True)


def _host(text: str) -> tuple[str, str]:
    """Host and port of one of an address's hosts; an IPv6 address stands in brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _bad(where: str, why: str) -> UsageError:
    return UsageError(
        f"{where} is no address of a PostgreSQL database: it {why}.",
        hint="It reads like postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require, "
        "with %40 for an @ in a password.",
    )
