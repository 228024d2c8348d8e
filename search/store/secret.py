"""Secrets that are shown once and stored as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets

BYTES = 32


def new_secret() -> str:
    """Returns a new random secret that nobody can guess."""
    return secrets.token_urlsafe(BYTES)


def hash_of(secret: str) -> str:
    """Returns the SHA-256 of a secret, which is what is stored. A random secret needs no slower hash."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def matches(secret: str, sha256: str) -> bool:
    """Returns whether a secret has this hash; takes the same time whatever differs."""
    return hmac.compare_digest(hash_of(secret), sha256)
