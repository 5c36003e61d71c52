"""GitHub's and an OpenID Connect provider's side of a sign-in, in-process: what they document, and no more."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ISSUER = "https://accounts.example.com"
CLIENT = "liftlock"
SECRET = "client-secret-of-the-tests"
TOKEN = "gho_ada0123456789"
"""Ada's own token at GitHub."""


@dataclass
class Provider:
    """Answers as GitHub at github.com and api.github.com, and as the issuer; remembers what it was sent."""

    login: str = "ada"
    teams: tuple[str, ...] = ("example/releases",)
    claims: dict[str, Any] = field(default_factory=dict)
    signing: Any = None
    algorithm: str = "RS256"
    described: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    """By code: what the authorization asked for."""
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one"})

    def authorized(self, address: str) -> str:
        """Somebody said yes at the address that they were sent to: the query that they come back with."""
        asked = {key: value[0] for key, value in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.asked)}"
        self.asked[code] = asked
        return f"code={code}&state={asked['state']}"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/login/oauth/access_token", self._token, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
                Route("/user", self._user),
                Route("/user/teams", self._teams),
                Route("/.well-known/openid-configuration", self._description),
                Route("/keys", self._keys),
            ]
        )

    async def _token(self, request: Request) -> Response:
        self.paths.append(str(request.url))
        form = {key: value[0] for key, value in parse_qs((await request.body()).decode()).items()}
        asked = self.asked.pop(form.get("code", ""), None)
        if asked is None:
            return JSONResponse({"error": "bad_verification_code"})
        challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert asked["code_challenge_method"] == "S256"
        if challenge.decode() != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert form["redirect_uri"] == asked["redirect_uri"]
        answer: dict[str, Any] = {"access_token": TOKEN, "token_type": "bearer"}
        if "openid" in asked.get("scope", ""):
            answer["id_token"] = self.id_token(asked["nonce"])
        return JSONResponse(answer)

    def id_token(self, nonce: str) -> str:
        claims = {
            "iss": ISSUER, "aud": CLIENT, "sub": "1", "exp": int(time.time()) + 300, "iat": int(time.time()),
            "nonce": nonce, "email": "ada@example.com", "email_verified": True, "name": "Ada",
            "groups": ["leads"], **self.claims,
        }  # fmt: skip
        header = {"alg": self.algorithm, "kid": "one"}
        return jwt.encode(header, claims, self.signing or self.key, algorithms=[self.algorithm])

    async def _user(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return JSONResponse({"login": self.login, "name": "Ada Lovelace"})

    async def _teams(self, request: Request) -> Response:
        return JSONResponse(
            [
                {"slug": team.partition("/")[2], "organization": {"login": team.partition("/")[0]}}
                for team in self.teams
            ]
        )

    async def _description(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
                **self.described,
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict(private=False))
