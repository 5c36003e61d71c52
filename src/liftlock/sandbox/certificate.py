"""The sandbox's certificate: made anew at every start, for loopback and for the vendors' own host names.

Clients trust it by its authority's certificate, a file beside the state. The authority's key is never
written and is gone when this returns, so that nobody can make more certificates that they would trust.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from liftlock.sandbox.hosts import LOCAL, VENDORS


def make_certificate(authority: Path) -> ssl.SSLContext:
    """What a server needs to speak TLS as any of these hosts; `authority` gets what its clients need."""
    made = trustme.CA(organization_name="liftlock sandbox", organization_unit_name="until it stops")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    made.issue_cert(*LOCAL, *VENDORS).configure_cert(context)
    made.cert_pem.write_to_path(str(authority))
    return context
