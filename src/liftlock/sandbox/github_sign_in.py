"""GitHub's other host again: where people sign in to somebody's OAuth app, and their codes become tokens.

Any app will do, with any secret. Whoever signs in says who they are: by the parameter `login`, or on the page.

Source: GitHub Docs, "Authorizing OAuth apps" and "Troubleshooting OAuth app access token request errors".
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json
from liftlock.sandbox.app import plain_refusal
from liftlock.sandbox.clock import from_iso, micros_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.store import Document

NAME = "github-sign-in"
PATHS = ("/login/",)
OPEN = True
refusal = plain_refusal
CODE_S = 600.0
"""How long a code is good for."""
DOCS = (
    "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"
)
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The page that people are sent to, and what the app asks afterwards."""
    codes = cloud.store.table("github.codes")

    async def authorize(request: Request) -> Response:
        asked = dict(request.query_params)
        callback, login = asked.get("redirect_uri", ""), asked.get("login", "")
        if not asked.get("client_id") or urlsplit(callback).scheme not in {"http", "https"}:
            return plain_refusal(404, "The app says neither who it is nor where it is.")
        if not _LOGIN.fullmatch(login):
            return HTMLResponse(_page(asked))
        code = secrets.token_hex(10)
        kept = ("client_id", "redirect_uri", "scope", "code_challenge", "code_challenge_method")
        row = {name: asked.get(name, "") for name in kept}
        codes.put(code, {**row, "login": login, "at": micros_iso(cloud.clock.now())})
        back = {"code": code} | ({"state": asked["state"]} if "state" in asked else {})
        return RedirectResponse(f"{callback}{'&' if '?' in callback else '?'}{urlencode(back)}", 302)

    async def access_token(request: Request) -> Response:
        said = dict(request.query_params) | dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        row = codes.get(said.get("code", ""))
        if not said.get("client_id") or not said.get("client_secret"):
            told = _error(
                "incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."
            )
        elif row is None or not _is_for(row, said) or _age_s(cloud, row) > CODE_S:
            told = _error("bad_verification_code", "The code passed is incorrect or expired.")
        elif said.get("redirect_uri", row["redirect_uri"]) != row["redirect_uri"]:
            told = _error("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.")
        else:
            codes.delete(said["code"])
            scope = ",".join(row["scope"].replace(",", " ").split())
            told = {"access_token": f"user-{row['login']}", "scope": scope, "token_type": "bearer"}
        if "json" in request.headers.get("accept", ""):
            return Json(told)
        return Response(urlencode(told), media_type="application/x-www-form-urlencoded")

    return [
        Route("/login/oauth/authorize", authorize, methods=["GET"]),
        Route("/login/oauth/access_token", access_token, methods=["POST"]),
    ]


def _is_for(row: Document, said: Document) -> bool:
    """Whether a code is that app's, and comes from the process that began the sign-in (PKCE, RFC 7636)."""
    if row["client_id"] != said["client_id"]:
        return False
    if not row["code_challenge"]:
        return True
    hashed = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
    made = urlsafe_b64encode(hashed).rstrip(b"=").decode()
    return row["code_challenge_method"] == "S256" and secrets.compare_digest(made, row["code_challenge"])


def _age_s(cloud: Cloud, row: Document) -> float:
    return (cloud.clock.now() - from_iso(row["at"])).total_seconds()


def _error(error: str, description: str) -> Document:
    return {
        "error": error,
        "error_description": description,
        "error_uri": f"{DOCS}#{error.replace('_', '-')}",
    }


def _page(asked: Document) -> str:
    """Who are you? Everything else that was asked goes on as it came."""
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in asked.items()
        if name != "login"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in to GitHub (sandbox)</title>'
        f"<h1>Sign in to GitHub</h1><p>This is a sandbox: say who you are, and it believes you."
        f'<form>{kept}<p><label>Username <input name="login" required pattern="[A-Za-z0-9][A-Za-z0-9-]*" autofocus>'
        "</label> <button>Sign in</button></form></html>"
    )
