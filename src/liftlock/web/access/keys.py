"""Random secrets, what is kept of them, and sealing what only their owner may open."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BYTES = 32
_NONCE = 12


def new_secret() -> str:
    """A secret of 256 random bits, in letters that cookies and addresses can hold."""
    return secrets.token_urlsafe(BYTES)


def digest(secret: str) -> str:
    """What is kept of a secret. It is random in 256 bits: a slow hash would make guessing no harder."""
    return hashlib.sha256(secret.encode()).hexdigest()


def derived(secret: str, purpose: str) -> str:
    """A value that only who has the secret can make, and that tells nothing of it."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def seal(text: str, secret: str) -> bytes:
    """`text`, to be opened with `secret` alone (AES-256-GCM)."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_key(secret)).encrypt(nonce, text.encode(), None)


def unseal(sealed: bytes, secret: str) -> str:
    """What `seal` sealed; "" when the secret is another one or the bytes were changed."""
    try:
        return AESGCM(_key(secret)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
    except (InvalidTag, ValueError):
        return ""


def _key(secret: str) -> bytes:
    return bytes.fromhex(derived(secret, "liftlock: seal"))
