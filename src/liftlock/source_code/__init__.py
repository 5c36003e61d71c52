"""The repositories' commits: from the checkout at hand where it has them, else from GitHub.

A commit's name is the hash of its content, so whichever repository holds it, it is the same. Only
its objects are read, never the work tree as it happens to stand.
"""

from liftlock.source_code.commits import Commits
from liftlock.source_code.github import GitHubCommits, web_address
from liftlock.source_code.local import Head, LocalGit, head, repository_of

__all__ = ["Commits", "GitHubCommits", "Head", "LocalGit", "head", "repository_of", "web_address"]
