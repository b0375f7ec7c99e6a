"""``keys.*``: tokens of customers (cold-path section 8.5)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class TokenMintRequest(msgspec.Struct, kw_only=True):
    """A token for a customer; an ``indefinite`` one never expires and has no refresh token."""

    customer_id: str
    indefinite: bool | None = None


class TokenRefreshRequest(msgspec.Struct, kw_only=True):
    """Nothing to say: the refresh token is in the Authorization header."""


class TokenRevokeRequest(msgspec.Struct, kw_only=True):
    """The customer whose tokens all end."""

    customer_id: str


class MintedTokens(msgspec.Struct, kw_only=True):
    """An access token, and the refresh token for the next one. Times are Unix milliseconds, null
    for a token that never expires.
    """

    access_token: str
    refresh_token: str | UnsetType = UNSET
    expires_at: int | None
    refresh_expires_at: int | UnsetType = UNSET


class TokensRevoked(msgspec.Struct, kw_only=True):
    """Every token that was minted for the customer until now is void."""

    revoked: bool = True
