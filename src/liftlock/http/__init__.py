"""The shared HTTP client: retries, limits, redaction, and vendors' errors turned into ours.

It knows HTTP and the manners that vendors have in common, never a vendor's nouns.
"""

from liftlock.http.answers import Answer, Download, field, optional
from liftlock.http.client import Http
from liftlock.http.pace import Pace
from liftlock.http.redaction import redact, safe_address
from liftlock.http.trail import Trail

__all__ = ["Answer", "Download", "Http", "Pace", "Trail", "field", "optional", "redact", "safe_address"]
