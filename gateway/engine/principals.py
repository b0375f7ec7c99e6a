"""Who an Authorization header belongs to, and what its key may do.

A header that was seen before costs one look-up. That look-up knows only keys without bounds, so
that nobody else pays for those that have some: what restricts a key is found on the longer way.
Keys that were rotated end at a time; whoever follows the catalog calls ``expire`` often enough for
that to hold within a second, also while SQL is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.api_keys import PUBLISHABLE_PREFIX, TOKEN_SCOPES, KeyRecord, allows
from gateway.errors import (
    InvalidPublishableKeyError,
    InvalidSecretKeyError,
    InvalidTokenError,
    NoSecretKeyError,
)
from gateway.ports import WallClock
from gateway.tokens import Token

HEADERS_MAX = 10_000
"""Authorization headers remembered; beyond it the cache starts anew."""

HEADER_BYTES_MAX = 512
"""Of a header that is remembered. A key is far shorter, but anybody may put blanks before one that
stands in web pages, each time another number of them.
"""

_SCHEME = b"bearer "
_SECRET_PREFIX = "am_sk_"  # noqa: S105 - how secret keys begin, not one
_SHOWN_CHARACTERS = 14


class Access(NamedTuple):
    """What a key is bound to: ``public`` ones stand in web pages, others have ``scopes``. A
    ``token`` is bound to a customer too.
    """

    public: bool
    scopes: frozenset[str]
    token: Token | None = None


class Principal(NamedTuple):
    """Who asks; ``access`` is None for a key that may do everything."""

    env: str
    key_id: str
    access: Access | None = None
    expires_ms: int | None = None


NOBODY = Principal("", "")
"""Stands for who asks until that is known."""


def principal_of(key: KeyRecord) -> Principal:
    """Return who a key belongs to."""
    access = None
    if key.prefix.startswith(PUBLISHABLE_PREFIX):
        access = Access(public=True, scopes=frozenset())
    elif key.scopes:
        access = Access(public=False, scopes=frozenset(key.scopes))
    return Principal(key.env, key.id, access, key.expires_ms)


def principal_with(token: Token, key: Principal) -> Principal:
    """Return who a token belongs to that a key has minted: it may do what the key may, and its
    calls count with those of its customer's other tokens, not with the key's.
    """
    own = key.access.scopes if key.access is not None else None
    scopes = frozenset(one for one in TOKEN_SCOPES if own is None or allows(own, one))
    access = Access(public=False, scopes=scopes, token=token)
    return Principal(key.env, f"token:{key.env}:{token.customer_id}", access)


def bearer_of(authorization: bytes | None) -> str:
    """Return what an Authorization header carries. Raises one of the key errors."""
    if authorization is None or not authorization.strip():
        raise NoSecretKeyError
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise InvalidTokenError("The Authorization header must read: Bearer am_sk_...")
    return authorization[len(_SCHEME) :].strip().decode("latin-1")


def secret_of(authorization: bytes | None) -> str:
    """Return the key of an Authorization header. Raises one of the key errors."""
    secret = bearer_of(authorization)
    if not secret.startswith((_SECRET_PREFIX, PUBLISHABLE_PREFIX)):
        raise InvalidTokenError("Invalid authorization token prefix; a secret key starts am_sk_")
    return secret


def unknown_key(secret: str) -> InvalidSecretKeyError:
    """Return the error for a key that is not known, or not any more; it shows the beginning."""
    shown = f"{secret[:_SHOWN_CHARACTERS]}***"
    if secret.startswith(PUBLISHABLE_PREFIX):
        return InvalidPublishableKeyError(f"Invalid publishable key: {shown}")
    return InvalidSecretKeyError(f"Invalid secret key: {shown}")


class Principals:
    """Those who asked before, by the header they sent."""

    def __init__(self, wall: WallClock) -> None:
        """Keep the clock keys end by, which is that of the machine in every environment."""
        self._wall = wall
        self._free: dict[bytes | None, Principal] = {}
        self._bound: dict[bytes | None, Principal] = {}
        self._ends_ms: int | None = None
        self.known: Callable[[bytes | None], Principal | None] = self._free.get
        """Returns who sent this header before, with a key that may do everything: an object of the
        newest catalog, so that another one says that the catalog may have changed.
        """

    def bound(self, authorization: bytes | None) -> Principal | None:
        """Return who sent this header before, with a key that has bounds."""
        return self._bound.get(authorization)

    def remember(self, authorization: bytes | None, principal: Principal) -> None:
        """Know this header from now on, unless it is longer than one that means no harm."""
        if authorization is not None and len(authorization) > HEADER_BYTES_MAX:
            return
        kept = self._free if principal.access is None else self._bound
        if len(kept) >= HEADERS_MAX:
            kept.clear()
        kept[authorization] = principal
        ends = (principal.expires_ms, self._ends_ms)
        self._ends_ms = min((one for one in ends if one is not None), default=None)

    def forget(self) -> None:
        """Know nobody any more: whoever is still allowed is found again."""
        self._free.clear()
        self._bound.clear()
        self._ends_ms = None

    def is_live(self, principal: Principal) -> bool:
        """Whether the time of a key has not come."""
        return principal.expires_ms is None or self._wall.now_ms() < principal.expires_ms

    def expire(self) -> None:
        """Forget everybody once a key that is remembered has ended."""
        if self._ends_ms is not None and self._wall.now_ms() >= self._ends_ms:
            self.forget()
