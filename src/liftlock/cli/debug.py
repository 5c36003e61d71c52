"""The report that `--debug` writes: what a maintainer asks first, and no secret.

Versions, the machine, the command line, the configuration, the last events and requests, and the
traceback without the values of variables. Whatever is a secret, or looks like one, is masked.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from liftlock import __version__
from liftlock.errors import LiftlockError

PACKAGES = ("anyio", "cyclopts", "httpx2", "pydantic", "rich", "google-auth", "starlette", "uvicorn")
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASS|WEBHOOK|CREDENTIAL|AUTH|PRIVATE|DATABASE_URL|(^|_)(API_?)?KEY($|_)", re.IGNORECASE
)
_TELLING = re.compile(
    r"^(LIFTLOCK_|GITHUB_|HEROKU_|FIREBASE_|GOOGLE_|GH_|DOCKER_|PG)|^(HOME|NETRC|NO_COLOR|TERM|CI|COLUMNS|[a-z_]+_proxy|[A-Z]+_PROXY)$"
)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")
_WORD = re.compile(r"[^\s\"'=,;:(){}\[\]<>]{8,}")


def write_report(arguments: Sequence[str], error: BaseException | None) -> Path:
    """Write the report into a new file that only its owner can read."""
    number, path = tempfile.mkstemp(prefix="liftlock-debug-", suffix=".txt")
    with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
        file.write(masked("\n".join(_lines(arguments, error)), os.environ) + "\n")
    return Path(path)


def masked(text: str, environ: Mapping[str, str]) -> str:
    """`text` without the secrets of this process and of its environment, and without what looks like one."""
    from liftlock.config.values import looks_secret
    from liftlock.http.recent import known_secrets
    from liftlock.http.redaction import MASK, redact

    secrets = known_secrets() | {value for name, value in environ.items() if _SECRET_NAME.search(name)}
    text = redact(
        text, {part for secret in secrets for part in (secret, secret.strip(), *secret.splitlines())}
    )
    text = _USER_IN_ADDRESS.sub(f"{MASK}@", text)
    return _WORD.sub(lambda word: MASK if looks_secret(word[0]) else word[0], text)


def _lines(arguments: Sequence[str], error: BaseException | None) -> Iterator[str]:
    yield f"liftlock {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield f"Python {platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"
    yield f"packages: {', '.join(_versions())}"
    yield f"command line: liftlock {' '.join(arguments)}"
    yield f"folder: {Path.cwd()}"
    names = sorted(name for name in os.environ if _TELLING.search(name))
    yield f"variables that are set: {', '.join(names) or 'none'}"
    yield from _part("Configuration", _configuration(arguments))
    yield from _part("Last events", _events())
    yield from _part("Last requests", _requests())
    yield from _part("How it ended", _traceback(error))


def _part(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"== {title}")
    yield from list(lines) or ["(none)"]


def _versions() -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version

    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} is not installed"


def _configuration(arguments: Sequence[str]) -> Iterator[str]:
    from liftlock.config import find

    named = [after for before, after in pairwise(arguments) if before == "--config"]
    named += [word.partition("=")[2] for word in arguments if word.startswith("--config=")]
    if named and named[0].startswith("github:"):
        yield named[0]
        return
    try:
        path = Path(named[0]) if named else find(Path.cwd())
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, LiftlockError) as error:
        yield f"cannot be read: {error}"
        return
    yield str(path)
    yield from text.splitlines()


def _events() -> Iterator[str]:
    progress = sys.modules.get("liftlock.cli.progress")
    for event in progress.RECENT if progress else ():
        yield json.dumps(event, ensure_ascii=False)


def _requests() -> Iterator[str]:
    if "liftlock.http.client" not in sys.modules:
        return
    from liftlock.http.recent import told

    for at, line in told():
        yield f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f} {line}"


def _traceback(error: BaseException | None) -> Iterator[str]:
    if error is None:
        yield "well"
        return
    for part in traceback.TracebackException.from_exception(error, capture_locals=False).format():
        yield from part.rstrip("\n").split("\n")
