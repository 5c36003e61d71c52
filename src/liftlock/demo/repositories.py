"""Git repositories that come out the same on every machine: fixed author, fixed dates."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from liftlock.errors import LiftlockError

AUTHOR = "Observatory Team"
EMAIL = "team@observatory.example"
BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

_FIELDS = "%H%x1f%P%x1f%an%x1f%ae%x1f%cI%x1f%B%x1e"


class GitFailed(LiftlockError):
    """git is missing, or refused."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git work tree that stands for the GitHub repository `name` (`owner/name`)."""

    folder: Path
    name: str

    def begin(self) -> None:
        """Make the repository, with the remote by which liftlock knows which one it is."""
        self._git("init", "--quiet", "--template=", "--initial-branch=main")
        self._git("remote", "add", "origin", f"https://github.com/{self.name}.git")

    def commit(self, subject: str, body: str = "") -> str:
        """Commit everything that changed and give the commit's sha."""
        self._git("add", "--all")
        count = len(self.commits()) if self._has_commits() else 0
        moment = (BEGAN + timedelta(hours=3 * count)).isoformat()
        message = f"{subject}\n\n{body}" if body else subject
        self._git("commit", "--quiet", "--no-verify", "--message", message, moment=moment)
        return self.head()

    def head(self) -> str:
        return self._git("rev-parse", "HEAD").decode().strip()

    def commits(self) -> list[dict[str, Any]]:
        """Every commit of the branch, oldest first, as the sandbox's GitHub wants them."""
        found = []
        for record in self._git("log", "--reverse", f"--format={_FIELDS}").decode().split("\x1e"):
            if not record.strip():
                continue
            sha, parents, author, email, date, message = record.strip("\n").split("\x1f")
            found.append(
                {"sha": sha, "parents": parents.split(), "message": message.strip(), "author": author}
                | {"email": email, "date": date}
            )
        return found

    def tarball(self, sha: str) -> bytes:
        """The files of a commit as a tar.gz; GitHub's top folder is added where it is served."""
        return self._git("archive", "--format=tar.gz", sha)

    def _has_commits(self) -> bool:
        return bool(self._git("for-each-ref", "refs/heads"))

    def _git(self, *arguments: str, moment: str = "") -> bytes:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            # The settings and hooks of whoever runs this would make other commits of the same files.
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": AUTHOR,
            "GIT_AUTHOR_EMAIL": EMAIL,
            "GIT_COMMITTER_NAME": AUTHOR,
            "GIT_COMMITTER_EMAIL": EMAIL,
        }
        if moment:
            variables |= {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "-c", "core.excludesFile=", *arguments],  # noqa: S607
                cwd=self.folder,
                env=variables,
                capture_output=True,
                check=True,
            )
        except FileNotFoundError as error:
            raise GitFailed("git is not installed.", hint="Install git 2.28 or newer.") from error
        except subprocess.CalledProcessError as error:
            raise GitFailed(f"git {arguments[0]} failed: {error.stderr.decode(errors='replace')}") from error
        return done.stdout
