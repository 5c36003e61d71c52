"""One repository of the sandbox's GitHub: git objects with their real SHA-1 names, refs, and history."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from liftlock.sandbox.answers import Refusal
from liftlock.sandbox.clock import from_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.store import Document, Table

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
DOCS = "https://docs.github.com/rest"


def refuse(status: int, message: str, **more: Any) -> Refusal:
    """GitHub's error body."""
    return Refusal(status, {"message": message, **more, "documentation_url": DOCS, "status": str(status)})


def invalid(resource: str, field: str, code: str, message: str = "Validation Failed") -> Refusal:
    """GitHub's 422 for one field of a request."""
    return refuse(422, message, errors=[{"resource": resource, "field": field, "code": code}])


def git_name(kind: str, body: bytes) -> str:
    """The SHA-1 name of a git object."""
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(body), body), usedforsecurity=False).hexdigest()


class Repository:
    """A view of one repository's tables; made anew for each request."""

    def __init__(self, cloud: Cloud, full_name: str, document: Document) -> None:
        key = full_name.lower()
        self.cloud = cloud
        self.full_name: str = document["full_name"]
        self.document = document
        self.objects = cloud.store.table(f"github.objects:{key}")
        self.refs = cloud.store.table(f"github.refs:{key}")
        self.deployments = cloud.store.table(f"github.deployments:{key}")
        self.statuses = cloud.store.table(f"github.statuses:{key}")
        self.contexts = cloud.store.table(f"github.contexts:{key}")
        self.check_runs = cloud.store.table(f"github.check_runs:{key}")
        self.runs = cloud.store.table(f"github.runs:{key}")
        self.pulls = cloud.store.table(f"github.pulls:{key}")
        self.environments = cloud.store.table(f"github.environments:{key}")
        self.tarballs = cloud.store.table(f"github.tarballs:{key}")

    @property
    def default_branch(self) -> str:
        branch: str = self.document["default_branch"]
        return branch

    # Objects.

    def object(self, sha: str, kind: str) -> Document:
        """A git object of that kind; 404 when there is none."""
        found = self.objects.get(sha)
        if found is None and sha == EMPTY_TREE and kind == "tree":
            return {"type": "tree", "entries": []}
        if found is None or found["type"] != kind:
            raise refuse(404, "Not Found")
        return found

    def has(self, sha: str, kind: str | None = None) -> bool:
        """Whether the repository holds that object."""
        if sha == EMPTY_TREE:
            return kind in (None, "tree")
        found = self.objects.get(sha)
        return found is not None and kind in (None, found["type"])

    def add_blob(self, content: bytes) -> str:
        sha = git_name("blob", content)
        self.objects.put(
            sha, {"type": "blob", "content": self.cloud.store.blobs.put(content), "size": len(content)}
        )
        return sha

    def blob(self, sha: str) -> bytes:
        """A blob's bytes; 404 when there is none."""
        content = self.cloud.store.blobs.get(self.object(sha, "blob")["content"])
        if content is None:
            raise refuse(404, "Not Found")
        return content

    def add_tree(self, entries: Iterable[Document]) -> str:
        """A tree of entries with plain names (mode, path, type, sha)."""
        # Git sorts a folder as if its name ended with a slash.
        ordered = sorted(entries, key=lambda e: e["path"] + ("/" if e["type"] == "tree" else ""))
        body = b"".join(
            f"{entry['mode'].lstrip('0')} {entry['path']}\0".encode() + bytes.fromhex(entry["sha"])
            for entry in ordered
        )
        sha = git_name("tree", body)
        self.objects.put(sha, {"type": "tree", "entries": ordered})
        return sha

    def add_commit(
        self, message: str, tree: str, parents: Sequence[str], author: Document, committer: Document
    ) -> str:
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {_stamp(author)}", f"committer {_stamp(committer)}", "", message]
        sha = git_name("commit", "\n".join(lines).encode())
        self.put_commit(sha, message, tree, parents, author, committer)
        return sha

    def put_commit(
        self,
        sha: str,
        message: str,
        tree: str,
        parents: Sequence[str],
        author: Document,
        committer: Document,
    ) -> None:
        """Keep a commit under a name that was given to it elsewhere."""
        document = {"type": "commit", "message": message, "tree": tree, "parents": list(parents)}
        self.objects.put(sha, {**document, "author": author, "committer": committer})

    def add_tag(self, name: str, message: str, target: str, kind: str, tagger: Document) -> str:
        lines = [f"object {target}", f"type {kind}", f"tag {name}", f"tagger {_stamp(tagger)}", "", message]
        sha = git_name("tag", "\n".join(lines).encode())
        document = {"type": "tag", "tag": name, "message": message, "object": target, "object_type": kind}
        self.objects.put(sha, {**document, "tagger": tagger})
        return sha

    # Names.

    def resolve(self, name: str) -> str | None:
        """The commit that a sha, its beginning, a branch, a tag or a full ref stands for."""
        if SHA.fullmatch(name):
            return self._peel(name)
        short = name.removeprefix("refs/")
        for full in (f"refs/heads/{short}", f"refs/tags/{short}", f"refs/{short}"):
            ref = self.refs.get(full)
            if ref is not None:
                return self._peel(ref["sha"])
        if name == "HEAD":
            return self.resolve(self.default_branch)
        if _SHORT_SHA.fullmatch(name):
            found = [sha for sha in self.objects if sha.startswith(name) and self.has(sha, "commit")]
            return found[0] if len(found) == 1 else None
        return None

    def commit(self, name: str, status: int = 404) -> str:
        """As `resolve`, refused with GitHub's words when there is none."""
        sha = self.resolve(name)
        if sha is None:
            message = "Not Found" if status == 404 else f"No commit found for SHA: {name}"
            raise refuse(status, message)
        return sha

    def _peel(self, sha: str) -> str | None:
        found = self.objects.get(sha)
        if found is not None and found["type"] == "tag":
            return self._peel(found["object"])
        return sha if found is not None and found["type"] == "commit" else None

    # History.

    def parents(self, sha: str) -> list[str]:
        found = self.objects.get(sha)
        parents: list[str] = found.get("parents", []) if found else []
        return parents

    def ancestors(self, sha: str) -> dict[str, None]:
        """The commit and everything before it, nearest first."""
        seen: dict[str, None] = {sha: None}
        queue = [sha]
        for one in queue:
            for parent in self.parents(one):
                if parent not in seen:
                    seen[parent] = None
                    queue.append(parent)
        return seen

    def contains(self, newer: str, older: str) -> bool:
        """Whether `older` is `newer` or comes before it."""
        return older in self.ancestors(newer)

    def merge_base(self, one: str, other: str) -> str | None:
        """A best common ancestor; None for histories that have nothing in common."""
        reach = self.ancestors(other)
        common = [sha for sha in self.ancestors(one) if sha in reach]
        # Everything before a common commit is common too, so one that is no parent of another is a best one.
        older = {parent for sha in common for parent in self.parents(sha)}
        best = [sha for sha in common if sha not in older]
        return best[0] if best else None

    def in_order(self, shas: Iterable[str]) -> list[str]:
        """Commits newest first, a child always before its parents."""
        wanted = set(shas)
        children = dict.fromkeys(wanted, 0)
        for sha in wanted:
            for parent in self.parents(sha):
                if parent in wanted:
                    children[parent] += 1
        ready = [sha for sha, count in children.items() if not count]
        ordered = []
        while ready:
            ready.sort(key=lambda sha: (self._when(sha), sha))
            sha = ready.pop()
            ordered.append(sha)
            for parent in self.parents(sha):
                if parent in wanted:
                    children[parent] -= 1
                    if not children[parent]:
                        ready.append(parent)
        return ordered

    def _when(self, sha: str) -> datetime:
        return from_iso(self.objects.get(sha)["committer"]["date"])  # type: ignore[index]


def find(cloud: Cloud, owner: str, name: str) -> Repository:
    """A repository by its name, in any case; 404 when there is none."""
    full_name = f"{owner}/{name}"
    document = repositories(cloud).get(full_name.lower())
    if document is None:
        raise refuse(404, "Not Found")
    return Repository(cloud, full_name, document)


def repositories(cloud: Cloud) -> Table:
    """Every repository, by its name in lower case."""
    return cloud.store.table("github.repositories")


def _stamp(person: Document) -> str:
    moment = from_iso(person["date"])
    return (
        f"{person['name']} <{person['email']}> {int(moment.timestamp())} {moment.strftime('%z') or '+0000'}"
    )
