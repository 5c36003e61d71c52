"""What each service of the observatory needs: an HTTP server, its database, a clean end.

An image holds one folder and nothing else, so this file stands in the folder of every web
service, the same bytes in each.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request as Outgoing
from urllib.request import urlopen


class Refusal(Exception):
    """An answer that is not a success: its status and what to tell the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Database:
    """The service's PostgreSQL database, connected to when it is first needed.

    psycopg takes longer to import than the whole service to start, so it is imported then.
    """

    def __init__(self, schema: str = "") -> None:
        self._schema = schema
        self._ready = not schema
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection whose work is committed on leaving, or rolled back when that raises."""
        import psycopg
        from psycopg.rows import dict_row

        url = os.environ.get("DATABASE_URL", "")
        if not url:
            raise Refusal(503, "DATABASE_URL is not set")
        try:
            connection = psycopg.connect(url, connect_timeout=5, row_factory=dict_row)
        except psycopg.OperationalError as error:
            raise Refusal(503, f"the database does not answer: {error}") from error
        with connection:
            self._prepare(connection)
            yield connection

    def _prepare(self, connection: Any) -> None:
        """Create the tables, once for a process and by one process at a time."""
        with self._lock:
            if self._ready:
                return
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('observatory.schema'))")
                connection.execute(self._schema)
            self._ready = True


class Request:
    """What a handler is given: query, JSON body, the path's named parts, the caller's token."""

    def __init__(self, query: dict[str, str], body: Any, parts: dict[str, str], token: str) -> None:
        self.query = query
        self.body = body
        self.parts = parts
        self.token = token

    def text(self, name: str, longest: int = 200) -> str:
        value = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise Refusal(400, f"{name} must be a text of 1 to {longest} characters")
        return value.strip()

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number of the query, or of the body where the query has none."""
        given = self.query.get(name, self.body.get(name, default) if isinstance(self.body, dict) else default)
        try:
            value = float(given)
        except (TypeError, ValueError):
            raise Refusal(400, f"{name} must be a number, not {given!r}") from None
        if not least <= value <= most:
            raise Refusal(400, f"{name} must lie between {least:g} and {most:g}")
        return value


Handler = Callable[[Request], Any]


class Service:
    """One web service: routes that answer JSON, `GET /` that says who it is, and `GET /health`."""

    def __init__(self, system: str, version: str, health: Callable[[], dict[str, Any]]) -> None:
        self.system = system
        self.version = version
        self._began = time.monotonic()
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self.route("GET", "/")(self._identity)
        self.route("GET", "/health")(lambda _: {"status": "ok", "system": system, **health()})

    def route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Say which handler answers a method and a path; `{name}` in it matches one part."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

        def add(handler: Handler) -> Handler:
            self._routes.append((method, pattern, handler))
            return handler

        return add

    def answer(self, method: str, target: str, content: bytes, authorization: str) -> tuple[int, Any]:
        """The status and the JSON that answer one request."""
        address = urlsplit(target)
        found = [(m, p.fullmatch(address.path), h) for m, p, h in self._routes if p.fullmatch(address.path)]
        for route_method, match, handler in found:
            if route_method == method and match:
                try:
                    body = json.loads(content) if content else None
                except ValueError as error:
                    raise Refusal(400, f"the body is not JSON: {error}") from None
                token = authorization.removeprefix("Bearer ") if authorization.startswith("Bearer ") else ""
                answer = handler(Request(dict(parse_qsl(address.query)), body, match.groupdict(), token))
                return answer if isinstance(answer, tuple) else (200, answer)
        if found:
            raise Refusal(405, f"{method} is not for {address.path}")
        raise Refusal(404, f"there is no {address.path}")

    def run(self) -> None:
        """Serve on $PORT until SIGTERM or SIGINT."""
        port = int(os.environ.get("PORT", "8080"))
        handler = type("Connection", (_Connection,), {"service": self})
        server = ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), port), handler)
        server.daemon_threads = True

        def stop(number: int, _frame: object) -> None:
            say(f"{signal.Signals(number).name}: stopping")
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        say(f"{self.system} {self.version} listens on port {server.server_address[1]}")
        server.serve_forever(poll_interval=0.2)
        server.server_close()

    def _identity(self, _: Request) -> dict[str, Any]:
        return {
            "system": self.system,
            "version": self.version,
            "environment": os.environ.get("ENVIRONMENT", "local"),
            "process": os.environ.get("DYNO", "web.1"),
            "release": os.environ.get("HEROKU_RELEASE_VERSION", ""),
            "uptime_s": round(time.monotonic() - self._began, 1),
        }


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    service: Service

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = self.service.answer(
                self.command, self.path, content, self.headers.get("Authorization", "")
            )
        except Refusal as refusal:
            status, answer = refusal.status, {"error": refusal.message}
        except Exception as error:  # noqa: BLE001 (one request's mistake must not end the others)
            say(f"{self.command} {self.path}: {type(error).__name__}: {error}")
            status, answer = 500, {"error": "internal error; the log has the reason"}
        self._send(status, json.dumps(answer, default=str).encode())

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 (http.server's names)

    def do_OPTIONS(self) -> None:
        self._send(204, b"")

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        # The sites are served from other hosts, and the answers hold nothing that a cookie protects.
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Authorization, Content-Type")
        self.send_header("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE, OPTIONS")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request: health checks would drown what matters."""


def ask(address: str, *, token: str = "", timeout_s: float = 5.0) -> Any:
    """The JSON that a neighbour answers. Raises `Refusal`: its own for 4xx, 502 when it fails."""
    request = Outgoing(address, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code < 500:
            raise Refusal(error.code, f"{urlsplit(address).path} refused: {error.reason}") from error
        raise Refusal(502, f"a neighbour failed: {address}") from error
    except (URLError, TimeoutError, ValueError) as error:
        raise Refusal(502, f"a neighbour does not answer: {address}") from error


def say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
