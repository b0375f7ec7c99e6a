"""Tokens of customers: what they say, how long they live, and what SQL keeps of them.

A token acts for one customer, in the hands of somebody who must not have a key. Access tokens call,
a refresh token gets the next pair: all that come of one mint are a family, in which each refresh
raises the generation. Revoking raises the epoch of a customer, and tokens of an older one are
nothing any more. They live by the clock of the machine, in every environment.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

PREFIX = "am_jwt_"
"""How a token begins; a JSON Web Token follows."""

ACCESS_SECONDS = 3_600
REFRESH_SECONDS = 24 * 3_600
"""How long they live; an indefinite access token has no end."""

CHARACTERS_MAX = 1_024
"""Of a token; one that is longer is none of ours."""


class Kind(StrEnum):
    """What a token is for."""

    ACCESS = "access"
    REFRESH = "refresh"


class Token(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"kind": "aud", "customer_id": "sub", "key_id": "key", "expires_s": "exp"},
):
    """What a token says; ``key_id`` is the key that minted it, which names the environment and what
    it may do.
    """

    kind: Kind
    customer_id: str
    key_id: str
    family: str
    epoch: int
    generation: int = 0
    expires_s: int | None = None


class Standing(NamedTuple):
    """The epoch a customer's tokens have to be of, as of so many ``revocations`` of anybody's."""

    epoch: int
    revocations: int


class Revoked(NamedTuple):
    """How many revocations there were, and the customers (environment and id) of the newest."""

    revocations: int
    customers: list[tuple[str, str]]


class TokenStore(Protocol):
    """Where tokens are looked up. Every method may raise ``gateway.errors.UnavailableError``."""

    async def secret(self) -> str | None:
        """Return what tokens are signed with; None before the first mint."""

    async def keep_secret(self, secret: str) -> str:
        """Keep a secret unless there is one, and return the one that is kept."""

    async def standing(self, env: str, customer_id: str) -> Standing:
        """Return how a customer stands, from one snapshot."""

    async def rotate(self, env: str, token: Token, now_ms: int) -> int | None:
        """Return the generation that follows a refresh token, for the newest of its family and the
        one before. Any older one was stolen, or its successor was: that revokes all tokens of the
        customer, and the answer is None, as for one that was revoked before.
        """

    async def revoke(self, env: str, customer_id: str) -> None:
        """End all tokens of a customer."""

    async def revoked_since(self, revocations: int, limit: int) -> Revoked:
        """Return whose tokens were revoked after so many revocations, at most ``limit`` of them."""
