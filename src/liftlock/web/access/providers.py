"""Who somebody is, as GitHub or an OpenID Connect provider says: authorization code, PKCE, state, nonce.

Authlib speaks the protocols; what belongs to one sign-in is kept by `sign_in`. All addresses come from the
configuration, or from the provider's own that it names: nobody who signs in can choose one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from liftlock.config.endpoints import ENDPOINTS
from liftlock.config.values import Mistake, endpoint
from liftlock.errors import LiftlockError
from liftlock.model import GitHubSignIn, OpenIdSignIn
from liftlock.web.access.access import Access

TIMEOUT_S = 15.0
KEYS_S = 600.0
"""How long a provider's description and keys are kept."""
LEEWAY_S = 60
MOST_TEAMS = 1000
ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
"""Signatures that are taken: never `none`, and none that is made with a shared secret."""


class SignInFailed(LiftlockError):
    """The provider does not say, or not in a way that can be trusted, who somebody is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is."""

    account: str
    name: str
    groups: frozenset[str] = frozenset()
    """As the configuration spells them: `team:ORGANISATION/TEAM`, `group:NAME`."""
    token: str = ""
    """Their own token, where something can be done with it in their name."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a sign-in has to remember until the provider sends the person back."""

    state: str
    verifier: str
    nonce: str


class Provider(Protocol):
    """Somewhere to sign in."""

    name: str
    """What the page says after "Sign in with"."""
    key: str

    async def address(self, begun: Begun, callback: str) -> str:
        """Where the person is sent."""
        ...

    async def identity(self, begun: Begun, callback: str, code: str) -> Identity:
        """Who came back with that code. Raises `SignInFailed`."""
        ...


def provider_of(access: Access) -> Provider | None:
    """The one that the configuration names; None for a server of this machine alone."""
    serve = access.project.serve
    if serve.github is not None:
        return GitHub(access, serve.github)
    return OpenId(access, serve.oidc) if serve.oidc is not None else None


class GitHub:
    """GitHub, or GitHub Enterprise, through an OAuth app.

    Source: GitHub Docs, "Authorizing OAuth apps".
    """

    name = "GitHub"
    key = "github"

    def __init__(self, access: Access, settings: GitHubSignIn) -> None:
        self._access = access
        self._settings = settings
        project = access.project
        self._api = (project.endpoints.get("github") or ENDPOINTS["github"][1]).rstrip("/")
        people = {name for roles in project.serve.roles.values() for each in roles.values() for name in each}
        self._asks_teams = any(name.startswith("team:") for name in people)
        # Approvals in a GitHub ledger are deployments that the person makes themselves.
        self._asks_deployments = project.ledger == "github" and any(
            roles.get("approve") for roles in project.serve.roles.values()
        )

    @property
    def scope(self) -> str:
        """No more than is needed: nothing at all to know who somebody is."""
        return " ".join(["read:org"] * self._asks_teams + ["repo_deployment"] * self._asks_deployments)

    async def address(self, begun: Begun, callback: str) -> str:
        async with _client(self._access, self._settings, callback, self.scope) as client:
            url, _ = client.create_authorization_url(
                f"{self._settings.url}/login/oauth/authorize",
                state=begun.state,
                code_verifier=begun.verifier,
            )
            return str(url)

    async def identity(self, begun: Begun, callback: str, code: str) -> Identity:
        async with _client(self._access, self._settings, callback, self.scope) as client:
            with _told("GitHub"):
                token = await client.fetch_token(
                    f"{self._settings.url}/login/oauth/access_token",
                    code=code,
                    code_verifier=begun.verifier,
                    headers={"accept": "application/json"},
                )
                user = await self._get(client, "/user")
                groups = frozenset(await self._teams(client)) if self._asks_teams else frozenset()
        account = user.get("login") if isinstance(user, dict) else None
        if not isinstance(account, str) or not account:
            raise SignInFailed("GitHub does not say whose token it is.", hint="Try again.")
        mine = str(token["access_token"]) if self._asks_deployments else ""
        return Identity(account, str(user.get("name") or account), groups, mine)

    async def _teams(self, client: Any) -> list[str]:
        found: list[str] = []
        for page in range(1, MOST_TEAMS // 100 + 1):
            teams = await self._get(client, f"/user/teams?per_page=100&page={page}")
            found += [f"team:{team['organization']['login']}/{team['slug']}" for team in teams]
            if len(teams) < 100:
                break
        return found

    async def _get(self, client: Any, path: str) -> Any:
        answer = await client.get(f"{self._api}{path}", headers={"accept": "application/vnd.github+json"})
        answer.raise_for_status()
        return answer.json()


@dataclass
class _Described:
    """What a provider says of itself, for a while."""

    document: Mapping[str, Any] = field(default_factory=dict)
    keys: KeySet | None = None
    until: float = 0.0


_DESCRIBED: dict[str, _Described] = {}


class OpenId:
    """Any OpenID Connect provider.

    Source: OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3.7; OpenID Connect Discovery 1.0.
    """

    key = "oidc"

    def __init__(self, access: Access, settings: OpenIdSignIn) -> None:
        self._access = access
        self._settings = settings
        self.name = settings.name

    async def address(self, begun: Begun, callback: str) -> str:
        described = await self._described()
        async with _client(self._access, self._settings, callback, "openid email profile") as client:
            url, _ = client.create_authorization_url(
                _endpoint(described.document, "authorization_endpoint"),
                state=begun.state,
                code_verifier=begun.verifier,
                nonce=begun.nonce,
            )
            return str(url)

    async def identity(self, begun: Begun, callback: str, code: str) -> Identity:
        described = await self._described()
        async with _client(self._access, self._settings, callback, "openid email profile") as client:
            with _told(self.name):
                token = await client.fetch_token(
                    _endpoint(described.document, "token_endpoint"), code=code, code_verifier=begun.verifier
                )
        claims = await self._claims(str(token.get("id_token") or ""), begun.nonce)
        account = claims.get(self._settings.account)
        if not isinstance(account, str) or not account.strip() or account.startswith("token:"):
            raise SignInFailed(
                f"{self.name} does not say the claim {self._settings.account!r} of you.",
                hint="Ask whoever keeps the provider, or name another one as [serve.sign_in.oidc] account.",
            )
        if self._settings.account == "email" and claims.get("email_verified") is not True:
            raise SignInFailed(
                f"{self.name} has not verified your email address, so it could be anybody's.",
                hint="Verify it there, and sign in again.",
            )
        said = claims.get(self._settings.groups)
        groups = said if isinstance(said, list) else []
        return Identity(
            account, str(claims.get("name") or account), frozenset(f"group:{each}" for each in groups)
        )

    async def _claims(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is signed, for us, of now, and of this very sign-in."""
        described = await self._described()
        for is_fresh in (False, True):
            try:
                decoded = jwt.decode(id_token, await self._keys(is_fresh=is_fresh), algorithms=ALGORITHMS)
                break
            except (JoseError, ValueError) as error:
                if is_fresh:  # the keys may have been changed since they were read
                    raise SignInFailed(
                        f"{self.name}'s ID token is not signed by it.", hint="Try again."
                    ) from error
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": described.document["issuer"]},
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            registry.validate(decoded.claims)
        except JoseError as error:
            raise SignInFailed(
                f"{self.name}'s ID token is not for this sign-in: {error}.", hint="Start again."
            ) from error
        audience = decoded.claims["aud"]
        if (
            isinstance(audience, list)
            and len(audience) > 1
            and decoded.claims.get("azp") != self._settings.client_id
        ):
            raise SignInFailed(f"{self.name}'s ID token is for somebody else too.", hint="Start again.")
        return decoded.claims

    async def _keys(self, *, is_fresh: bool) -> KeySet:
        described = await self._described()
        if described.keys is None or is_fresh:
            described.keys = KeySet.import_key_set(
                await self._read(_endpoint(described.document, "jwks_uri"))
            )
        return described.keys

    async def _described(self) -> _Described:
        issuer = self._settings.issuer
        known = _DESCRIBED.setdefault(f"{issuer} {id(self._access)}", _Described())
        if known.until < time.monotonic():
            document = await self._read(f"{issuer}/.well-known/openid-configuration")
            if str(document.get("issuer", "")).rstrip("/") != issuer:
                raise SignInFailed(
                    f"{issuer} describes another provider: {str(document.get('issuer'))[:100]!r}.",
                    hint="Write [serve.sign_in.oidc] issuer exactly as the provider does.",
                )
            known.document, known.keys, known.until = document, None, time.monotonic() + KEYS_S
        return known

    async def _read(self, url: str) -> Any:
        with _told(self.name):
            async with httpx2.AsyncClient(timeout=TIMEOUT_S, transport=self._access.transport) as client:
                answer = await client.get(url)
                answer.raise_for_status()
                return answer.json()


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    """An address that a provider names: https, or this machine's, as any endpoint."""
    try:
        return endpoint(str(document.get(name, "")).partition("?")[0])
    except Mistake as mistake:
        raise SignInFailed(f"The provider's {name} {mistake}", hint="Look at its configuration.") from mistake


def _client(
    access: Access, settings: GitHubSignIn | OpenIdSignIn, callback: str, scope: str
) -> AsyncOAuth2Client:
    is_github = isinstance(settings, GitHubSignIn)
    return AsyncOAuth2Client(
        client_id=settings.client_id,
        client_secret=access.secret(settings.client_secret),
        # GitHub describes its secret as a parameter alone; the header is what every OpenID provider takes.
        token_endpoint_auth_method="client_secret_post" if is_github else "client_secret_basic",
        scope=scope,
        redirect_uri=callback,
        code_challenge_method="S256",
        timeout=TIMEOUT_S,
        transport=access.transport,
    )


class _told:  # noqa: N801 - read as a phrase: `with _told("GitHub"):`
    """Whatever goes wrong while a provider is asked, as one error of ours; no secret is in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx2.HTTPStatusError):
            why = f"it answered {error.response.status_code}"
        elif isinstance(error, httpx2.HTTPError):
            why = "it cannot be reached"
        elif isinstance(error, OAuthError):
            why = f"it said {str(error.error)[:60]}"
        elif isinstance(error, (ValueError, KeyError, TypeError)):
            why = "its answer cannot be understood"
        else:
            return
        raise SignInFailed(f"{self._name} did not sign you in: {why}.", hint="Try again.") from error
