"""The server's own database: sessions, tokens, what is queued, the audit log. It is not the ledger.

Nothing in it decides what runs where: a server that lost it has lost who was signed in and what was
waiting, and no promotion.
"""

from __future__ import annotations

from liftlock.web.store.database import Store, address_of, open_store

__all__ = ["Store", "address_of", "open_store"]
