"""Tokens of customers: minted, read, refreshed and revoked.

A token that was seen before costs a look-up, its expiry and its key's; the first time it is read
here, and SQL is asked once whether it was revoked. What is revoked elsewhere is asked for twice a
second, as long as any token is remembered, so every process refuses it within a second. A token
works until it ends, its customer's tokens are revoked, or the key that minted it is; that key's
rotation leaves it. Deleting a customer revokes its tokens.

Failure. SQL gone: tokens that are remembered go on, others wait for SQL (``UnavailableError``), and
nobody can revoke. A forged one never gets as far as SQL, for its signature is looked at first, and
one that was revoked gets there once: what is sent again and again must not keep others waiting.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Collection

import jwt
import msgspec

from gateway.engine.catalog import Catalog
from gateway.engine.principals import Principal, bearer_of, principal_with
from gateway.errors import EndedTokenError, UnavailableError
from gateway.ids import new_id
from gateway.messages.keys import MintedTokens
from gateway.ports import WallClock
from gateway.rounds import LOOK_SECONDS, Rounds
from gateway.tokens import (
    ACCESS_SECONDS,
    CHARACTERS_MAX,
    PREFIX,
    REFRESH_SECONDS,
    Kind,
    Token,
    TokenStore,
)

TOKENS_MAX = 10_000
"""Tokens remembered, and so many that were revoked; beyond it the memory starts anew."""

FOLLOW_SECONDS = 0.5
"""How late another process sees that tokens were revoked."""

REVOKED_MAX = 1_000
"""Customers whose tokens are forgotten one by one; if more were revoked at a time, all are."""

SECRET_BYTES = 48

_ALGORITHM = "HS256"
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{43}", re.ASCII)
"""The signature has 43 characters: a reader of Base64 would pass over others that are put in."""

_TOKEN = re.compile(rb"(?i:bearer) +" + PREFIX.encode())


def is_token(authorization: bytes | None) -> bool:
    """Whether an Authorization header carries a token, valid or not, rather than a key."""
    return authorization is not None and _TOKEN.match(authorization) is not None


class Tokens:
    """See the module docstring."""

    def __init__(self, store: TokenStore, catalog: Catalog, wall: WallClock) -> None:
        self._store = store
        self._catalog = catalog
        self._wall = wall
        self._jws = jwt.PyJWS([_ALGORITHM])
        self._decode = msgspec.json.Decoder(Token).decode
        self._encode = msgspec.json.Encoder().encode
        self._secret = ""
        self._look_again = Rounds(self._read_secret, apart=LOOK_SECONDS)
        self._known: dict[str, tuple[Token, Principal]] = {}
        self._void: set[str] = set()
        self._heard = 0
        """Revocations that what is remembered has survived."""

    async def principal(self, authorization: bytes | None) -> Principal:
        """Return who a header with a token belongs to. Raises ``EndedTokenError``."""
        text = bearer_of(authorization).removeprefix(PREFIX)
        known = self._known.get(text)
        if known is None:
            return await self._meet(text)
        token, principal = known
        if self._is_over(token) or self._catalog.find_key(token.key_id) is None:
            del self._known[text]
            raise EndedTokenError
        return principal

    async def mint(self, minter: Principal, customer_id: str, *, indefinite: bool) -> MintedTokens:
        """Return the first tokens of a family, which may do what their minter may."""
        standing = await self._store.standing(minter.env, customer_id)
        if not self._secret:
            self._secret = await self._store.keep_secret(secrets.token_urlsafe(SECRET_BYTES))
        first = Token(
            kind=Kind.ACCESS,
            customer_id=customer_id,
            key_id=minter.key_id,
            family=new_id("tok"),
            epoch=standing.epoch,
        )
        if indefinite:
            return MintedTokens(access_token=self._sign(first), expires_at=None)
        return self._pair(first)

    async def refresh(self, env: str, token: Token) -> MintedTokens:
        """Return the next tokens of a refresh token's family. Raises ``EndedTokenError``."""
        generation = await self._store.rotate(env, token, self._wall.now_ms())
        if generation is None:
            self._forget({(env, token.customer_id)})
            raise EndedTokenError
        return self._pair(msgspec.structs.replace(token, generation=generation))

    async def revoke(self, env: str, customer_id: str) -> None:
        """End all tokens of a customer: here at once, elsewhere within a second."""
        await self._store.revoke(env, customer_id)
        self._forget({(env, customer_id)})

    async def are_minted(self) -> bool:
        """Whether anybody may have a token; nobody, where none was met and SQL cannot be asked."""
        if not self._secret:
            with contextlib.suppress(UnavailableError):
                await self._read_secret()
        return bool(self._secret)

    async def follow(self) -> None:
        """Forget what was revoked elsewhere."""
        if not self._known:
            return
        # The catalog tells the log when SQL is gone; what is known then goes on, as keys do.
        with contextlib.suppress(UnavailableError):
            revoked = await self._store.revoked_since(self._heard, REVOKED_MAX + 1)
            if len(revoked.customers) > REVOKED_MAX:
                self._known.clear()
            elif revoked.customers:
                self._forget(set(revoked.customers))
            self._heard = max(self._heard, revoked.revocations)

    async def _meet(self, text: str) -> Principal:
        if text in self._void:
            raise EndedTokenError
        token = await self._read(text)
        if token is None or self._is_over(token):
            raise EndedTokenError
        key = await self._catalog.key(token.key_id)
        if key is None:
            raise EndedTokenError
        standing = await self._store.standing(key.env, token.customer_id)
        if token.epoch != standing.epoch:
            if len(self._void) >= TOKENS_MAX:
                self._void.clear()
            self._void.add(text)
            raise EndedTokenError
        principal = principal_with(token, key)
        self._remember(text, token, principal, standing.revocations)
        return principal

    async def _read(self, text: str) -> Token | None:
        """Return what a token says, if it was signed here."""
        if len(text) > CHARACTERS_MAX or _JWT.fullmatch(text) is None:
            return None
        if not self._secret:
            await self._look_again()
        if not self._secret:
            return None
        try:
            payload = self._jws.decode(text, self._secret, algorithms=[_ALGORITHM])
            return self._decode(payload)
        except (jwt.PyJWTError, msgspec.DecodeError, ValueError, RecursionError):
            return None

    async def _read_secret(self) -> None:
        found = await self._store.secret()
        self._secret = self._secret or found or ""  # the first mint may have come in between

    def _pair(self, token: Token) -> MintedTokens:
        now_s = self._wall.now_ms() // 1_000
        ends_s, refresh_ends_s = now_s + ACCESS_SECONDS, now_s + REFRESH_SECONDS
        replace = msgspec.structs.replace
        access = replace(token, kind=Kind.ACCESS, generation=0, expires_s=ends_s)
        refresh = replace(token, kind=Kind.REFRESH, expires_s=refresh_ends_s)
        return MintedTokens(
            access_token=self._sign(access),
            refresh_token=self._sign(refresh),
            expires_at=ends_s * 1_000,
            refresh_expires_at=refresh_ends_s * 1_000,
        )

    def _sign(self, token: Token) -> str:
        return PREFIX + self._jws.encode(self._encode(token), self._secret, _ALGORITHM)

    def _is_over(self, token: Token) -> bool:
        return token.expires_s is not None and self._wall.now_ms() >= token.expires_s * 1_000

    def _remember(self, text: str, token: Token, principal: Principal, revocations: int) -> None:
        if revocations < self._heard:
            return  # what was revoked since then will not be told again
        if not self._known:
            self._heard = revocations
        if len(self._known) >= TOKENS_MAX:
            self._known.clear()
        self._known[text] = (token, principal)

    def _forget(self, customers: Collection[tuple[str, str]]) -> None:
        self._known = {
            text: (token, principal)
            for text, (token, principal) in self._known.items()
            if (principal.env, token.customer_id) not in customers
        }
