"""Where the sandbox keeps its world: document tables, counters and content-addressed bytes.

Everything is held in memory and written through to one SQLite file at each change, so a killed
sandbox comes back as it was. `synchronous=OFF`: a crash of the *machine* may lose the last writes,
a crash of the process loses none. Without a directory it is memory alone.

A document is a JSON object. `get` gives the stored object itself: change it, then `put` it back.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, key)
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Table:
    """Documents of one kind by key, in the order in which they were first put."""

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._rows: dict[str, Document] = {}

    def get(self, key: str) -> Document | None:
        return self._rows.get(key)

    def put(self, key: str, document: Document) -> Document:
        """Keep `document`, replacing what the key held, and give it back."""
        self._store.write(self._kind, key, document)
        self._rows[key] = document
        return document

    def delete(self, key: str) -> bool:
        """Whether there was something to forget."""
        if self._rows.pop(key, None) is None:
            return False
        self._store.write(self._kind, key, None)
        return True

    def keys(self) -> list[str]:
        return list(self._rows)

    def values(self) -> list[Document]:
        return list(self._rows.values())

    def items(self) -> list[tuple[str, Document]]:
        return list(self._rows.items())

    def fill(self, rows: dict[str, Document]) -> None:
        """Take `rows` as read from disk; nothing is written."""
        self._rows = rows

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)


class Store:
    """The tables, counters and blobs under `directory`, or in memory when it is None."""

    def __init__(self, directory: Path | None) -> None:
        self.blobs = Blobs(directory / "blobs" if directory else None)
        self._tables: dict[str, Table] = {}
        self._counters: dict[str, int] = {}
        self._database: sqlite3.Connection | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._database = _open(directory / "sandbox.db")
            self._load(self._database)

    def table(self, kind: str) -> Table:
        """The documents of one kind; a new kind begins empty."""
        if kind not in self._tables:
            self._tables[kind] = Table(self, kind)
        return self._tables[kind]

    def next(self, name: str) -> int:
        """The next number of a counter, from 1; never given twice, restarts included."""
        value = self._counters.get(name, 0) + 1
        if self._database is not None:
            self._database.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
        self._counters[name] = value
        return value

    def write(self, kind: str, key: str, document: Document | None) -> None:
        """Put one document on disk, or take it off with None."""
        if self._database is None:
            return
        if document is None:
            self._database.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
            return
        # An upsert keeps the row's number, and with it the order of the first puts.
        self._database.execute(
            "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, json.dumps(document, separators=(",", ":"))),
        )

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _load(self, database: sqlite3.Connection) -> None:
        rows: dict[str, dict[str, Document]] = {}
        for kind, key, body in database.execute("SELECT kind, key, body FROM documents ORDER BY number"):
            rows.setdefault(kind, {})[key] = json.loads(body)
        for kind, documents in rows.items():
            self.table(kind).fill(documents)
        self._counters = dict(database.execute("SELECT name, value FROM counters"))


class Blobs:
    """Bytes by their SHA-256 (hexadecimal, no prefix)."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._memory: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        """Keep `content` and give its name. Safe to repeat."""
        name = hashlib.sha256(content).hexdigest()
        if self._directory is None:
            self._memory[name] = content
            return name
        path = self._path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part")
            partial.write_bytes(content)
            partial.replace(path)
        return name

    def get(self, name: str) -> bytes | None:
        if self._directory is None:
            return self._memory.get(name)
        path = self._path(name)
        return path.read_bytes() if path.exists() else None

    def adopt(self, partial: Path, name: str) -> None:
        """Keep a file that was written and digested elsewhere in the state's directory, by moving it here."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)

    def path(self, name: str) -> Path | None:
        """Where the bytes lie on disk; None when they are kept in memory or not at all."""
        if self._directory is None:
            return None
        path = self._path(name)
        return path if path.exists() else None

    def size(self, name: str) -> int:
        """How many bytes they are; 0 for none."""
        if self._directory is None:
            return len(self._memory.get(name, b""))
        path = self._path(name)
        return path.stat().st_size if path.exists() else 0

    def __contains__(self, name: str) -> bool:
        return name in self._memory if self._directory is None else self._path(name).exists()

    def _path(self, name: str) -> Path:
        return (self._directory or Path()) / name[:2] / name


def _open(path: Path) -> sqlite3.Connection:
    # Used from one thread at a time, but a test may make the cloud in one and serve it in another.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")
    database.executescript(_SCHEMA)
    return database
