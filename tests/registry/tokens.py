"""A token service beside a CNCF registry: it signs what each user may do with a key of its own.

Source: CNCF Distribution, "Token Authentication Implementation" (what is signed) and "Oauth2 Token
Authentication" (the refresh token).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

SERVICE, ISSUER = "a test's registry", "a test"
USER, PASSWORD, IDENTITY = "robot", "secret pass:word", "an/identity+token="


@dataclass
class Tokens:
    """What was asked for. `lifetime_s` is that of the next tokens."""

    realm: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(how, scopes) of every token that was given."""
    lifetime_s: int = 60

    def configuration(self, certificate: Path) -> str:
        """What a registry's configuration says of its token service."""
        return (
            f"auth: {{token: {{realm: '{self.realm}', service: \"{SERVICE}\", issuer: {ISSUER}, "
            f"rootcertbundle: {certificate}}}}}\n"
        )


@contextmanager
def token_service(certificate: Path, user: str = USER) -> Iterator[Tokens]:
    """Serve tokens that are signed with the key in `certificate`, a file that holds both."""
    pem = certificate.read_bytes()
    key = _key(pem)
    chain = [base64.b64encode(load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).decode()]

    class Handler(BaseHTTPRequestHandler):
        tokens: ClassVar[Tokens]

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            login = f"{user}:{PASSWORD}".encode()
            known = self.headers["authorization"] == f"Basic {base64.b64encode(login).decode()}"
            self._answer("password" if known else "", query.get("scope", []), "token")

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            known = form["grant_type"] == ["refresh_token"] and form["refresh_token"] == [IDENTITY]
            self._answer("identity" if known else "", form["scope"][0].split(" "), "access_token")

        def _answer(self, how: str, scopes: list[str], name: str) -> None:
            payload: dict[str, Any] = {"errors": [{"code": "DENIED"}]}
            if how:
                self.tokens.asked.append((how, " ".join(scopes)))
                payload = {name: self._signed(scopes), "expires_in": self.tokens.lifetime_s}
            content = json.dumps(payload).encode()
            self.send_response(200 if how else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _signed(self, scopes: list[str]) -> str:
            now = int(time.time())
            access = []
            for scope in scopes:
                kind, name, actions = scope.split(":")
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
            claims = {
                "iss": ISSUER, "sub": USER, "aud": SERVICE, "iat": now, "nbf": now - 10,
                "exp": now + self.tokens.lifetime_s, "jti": str(len(self.tokens.asked)), "access": access,
            }  # fmt: skip
            head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
            signed = f"{_part(json.dumps(head).encode())}.{_part(json.dumps(claims).encode())}"
            r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(hashes.SHA256())))
            return f"{signed}.{_part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

        def log_message(self, *_: Any) -> None:
            """Nothing: tests read what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.tokens = Tokens(f"http://127.0.0.1:{server.server_port}/token?from=a%20test")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Handler.tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _key(pem: bytes) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
