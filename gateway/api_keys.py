"""API keys: how they look, what they may do, and what SQL knows of them."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple

PUBLISHABLE_PREFIX = "am_pk_"
"""How a key begins that stands in web pages."""

PUBLISHABLE_PREFIXES = {
    "sandbox": f"{PUBLISHABLE_PREFIX}test_",
    "live": f"{PUBLISHABLE_PREFIX}live_",
}

PREFIXES = {"sandbox": "am_sk_test_", "live": "am_sk_live_"}

KEY_CHARACTERS = 40

RESOURCES = {
    "balances": "balances",
    "usage": "balances",
    "customers": "customers",
    "entities": "customers",
    "features": "features",
    "plans": "plans",
    "billing": "billing",
    "referrals": "billing",
    "events": "analytics",
    "keys": "apiKeys",
    "clock": "organisation",
}
"""The resource of an operation, and what scopes call it."""

ADMIN = "admin"
"""The scope that is all of them."""

SCOPES = (
    *sorted(f"{name}:{right}" for name in set(RESOURCES.values()) for right in ("read", "write")),
    ADMIN,
)
"""Every scope; write implies read."""

TOKEN_SCOPES = ("analytics:read", "balances:read", "balances:write", "customers:read")
"""What a token of a customer may do, as far as the key that minted it may."""

_ALPHABET = string.ascii_letters + string.digits


class KeyRecord(NamedTuple):
    """An API key that is not revoked: of the secret only its SHA-256 and its beginning are known.
    No scopes are all of them; ``expires_ms``, of a key that was rotated, may have passed.
    """

    id: str
    env: str
    digest: str
    prefix: str = ""
    scopes: tuple[str, ...] = ()
    expires_ms: int | None = None


def allows(scopes: Collection[str], scope: str) -> bool:
    """Whether some scopes are enough for what needs one."""
    name, _, right = scope.partition(":")
    return ADMIN in scopes or scope in scopes or (right == "read" and f"{name}:write" in scopes)


def digest_of(secret: str) -> str:
    """Return what is kept of a key."""
    return sha256(secret.encode()).hexdigest()


def new_secret(env: str, *, publishable: bool = False) -> str:
    """Return a new key of an environment."""
    prefix = (PUBLISHABLE_PREFIXES if publishable else PREFIXES)[env]
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(KEY_CHARACTERS))
