"""Reading tar files that somebody else made: damaged ones end in an error, never in a loop."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator

TAR_ERRORS = (tarfile.TarError, EOFError, OSError, OverflowError, ValueError, zlib.error)
"""What Python's tarfile raises for a file that is cut off, damaged, or made to mislead it."""


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, one after the other.

    Raises one of `TAR_ERRORS` for a member that ends before it begins: tarfile would go back, and
    read it again for ever (CVE-2025-8194).
    """
    reached = -1
    for member in tar:
        if member.size < 0 or member.offset <= reached:
            raise tarfile.ReadError(f"{member.name[:80]!r} has a size that cannot be")
        reached = member.offset
        yield member
