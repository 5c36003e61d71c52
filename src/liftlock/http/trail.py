"""The way through a listing that a vendor gives in pages, and its end when that leads nowhere."""

from __future__ import annotations

from liftlock.errors import BadAnswer
from liftlock.http.answers import vendor_name
from liftlock.http.redaction import safe_address

MOST_PAGES = 1000


class Trail:
    """The pages of one listing that were asked for: none twice, and not without end."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor
        self._seen: set[str] = set()

    def to(self, page: str) -> str:
        """`page`, an address or a token, once. Raises `BadAnswer` for one that was there before."""
        if page in self._seen or len(self._seen) >= MOST_PAGES:
            why = "lead in a circle" if page in self._seen else f"are more than {MOST_PAGES}"
            raise BadAnswer(
                f"The pages of a list of {vendor_name(self._vendor)}'s {why}: {safe_address(page)[:200]}.",
                vendor=self._vendor,
                hint="Check that the address is the vendor's own, and that no proxy answers in its place.",
            )
        self._seen.add(page)
        return page
