"""Restoring an archive into a database that stands: all of it or nothing.

`pg_restore --clean` leaves what was made since the backup, and fails where that depends on what it
drops. So everything of the database is dropped first, in the same transaction as the restore: users
see the old state until the new one is whole, and any error leaves the old one.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio

from liftlock.databases.pg_programs import Programs
from liftlock.postgresql.address import Address

_BEGIN = b"\\set ON_ERROR_STOP on\nBEGIN;\n"
_HEAD = 8192
_TOO_NEW = b"SET transaction_timeout = 0;\n"
"""Written by programs of version 17 and later for every server; earlier servers refuse it."""
_EMPTY = rb"""
SET LOCAL lock_timeout = '60s';
DO $liftlock$
DECLARE one record;
BEGIN
  FOR one IN SELECT nspname FROM pg_catalog.pg_namespace n
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e')
  LOOP EXECUTE pg_catalog.format('DROP SCHEMA %I CASCADE', one.nspname); END LOOP;
  FOR one IN
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
      WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind,
      pg_catalog.format('%I.%I', 'public', c.relname) AS name
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
          AND (d.deptype = 'e' OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))
  LOOP EXECUTE 'DROP ' || one.kind || ' IF EXISTS ' || one.name || ' CASCADE'; END LOOP;
  FOR one IN SELECT p.oid::pg_catalog.regprocedure::text AS name,
      CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'public'::pg_catalog.regnamespace AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        AND d.deptype IN ('e', 'i'))
  LOOP EXECUTE 'DROP ' || one.kind || ' IF EXISTS ' || one.name || ' CASCADE'; END LOOP;
  FOR one IN SELECT pg_catalog.format('%I.%I', 'public', t.typname) AS name FROM pg_catalog.pg_type t
    WHERE t.typnamespace = 'public'::pg_catalog.regnamespace AND t.typtype IN ('d', 'e', 'r')
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP EXECUTE 'DROP TYPE IF EXISTS ' || one.name || ' CASCADE'; END LOOP;
END
$liftlock$;
"""
"""Drops the database's own schemas, and in `public` what belongs to no extension: that schema's
privileges and the extensions themselves are often not ours to make again."""


async def restore_archive(programs: Programs, address: Address, archive: Path, *, replace: bool) -> None:
    """Restore `archive`; with `replace` in the place of everything that the database holds, with its
    owners and privileges. Raises `ProgramFailed`, and then the database stands as before."""
    quiet = ("-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-")
    await programs.run("psql", *quiet, address=address, script=_script(programs, archive, replace=replace))


async def _script(programs: Programs, archive: Path, *, replace: bool) -> AsyncGenerator[bytes, None]:
    """What psql is to run. The COMMIT is written only once `pg_restore` has succeeded."""
    yield _BEGIN + (_EMPTY if replace else b"")
    command = [str(await programs.folder() / "pg_restore"), "-f", "-"]
    command += [*(() if replace else ("--no-owner", "--no-acl")), "--", str(archive)]
    with tempfile.TemporaryFile() as said:
        process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=said)
        async with process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            head: bytes | None = b""
            async for chunk in process.stdout:
                if head is None:
                    yield chunk
                elif len(head) + len(chunk) < _HEAD:
                    head += chunk
                else:
                    yield (head + chunk).replace(_TOO_NEW, b"", 1)
                    head = None
            if head:
                yield head.replace(_TOO_NEW, b"", 1)
            if await process.wait() != 0:
                said.seek(0)
                raise programs.failure("pg_restore", said.read(), None)
    yield b"\nCOMMIT;\n"
