"""``keys.*``: tokens that act for one customer, for somebody who must not have a key."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Call, Example, Operation, Services, always
from gateway.api.resources import rules, shapes
from gateway.messages.customers import CustomerGetRequest
from gateway.messages.keys import (
    MintedTokens,
    TokenMintRequest,
    TokenRefreshRequest,
    TokenRevokeRequest,
    TokensRevoked,
)
from gateway.tokens import PREFIX

_PAIR = {
    "access_token": f"{PREFIX}eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJhY2Nlc3Mi.c2lnbmVk",
    "refresh_token": f"{PREFIX}eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJyZWZyZXNo.c2lnbmVk",
    "expires_at": 1_795_221_374_000,
    "refresh_expires_at": 1_795_304_174_000,
}


async def _mint(services: Services, call: Call, request: TokenMintRequest) -> MintedTokens:
    # So that nobody is given a token for a customer who is misspelt.
    await services.engine.get_customer(
        call.env, CustomerGetRequest(customer_id=request.customer_id)
    )
    return await services.tokens.mint(
        call.principal, request.customer_id, indefinite=bool(request.indefinite)
    )


async def _refresh(services: Services, call: Call, _: TokenRefreshRequest) -> MintedTokens:
    access = call.principal.access
    if access is None or access.token is None:
        raise errors.RefreshTokenOnlyError
    return await services.tokens.refresh(call.env, access.token)


async def _revoke(services: Services, call: Call, request: TokenRevokeRequest) -> TokensRevoked:
    await services.tokens.revoke(call.env, request.customer_id)
    return TokensRevoked()


def _named(_: Call, request: TokenMintRequest | TokenRevokeRequest) -> None:
    shapes.customer_id(request.customer_id)


OPERATIONS = (
    Operation(
        name="keys.mint",
        summary="Mint a customer's tokens",
        description=(
            "An access token for one hour and a refresh token for 24, which act for this customer "
            "alone; with `indefinite` an access token that never expires. As a bearer, an access "
            "token may call `balances.check`, `balances.track`, `customers.get`, `entities.get`, "
            "`events.list` and `events.aggregate` from version 2.3 on, as far as the key that "
            "minted it may; `customer_id` is then the token's, whatever is sent. The tokens end "
            "with that key, if it is revoked."
        ),
        request=TokenMintRequest,
        response=MintedTokens,
        handle=_mint,
        rule=_named,
        errors=(errors.CustomerNotFoundError,),
        example=Example({"customer_id": "cus_123"}, _PAIR),
        reads=always,
    ),
    Operation(
        name="keys.refresh",
        summary="Refresh a customer's tokens",
        description=(
            "With a refresh token as the bearer: the next pair. The token before it still works "
            "until the next one is used, for an answer that was lost; an older one must have been "
            "stolen, and revokes all tokens of the customer."
        ),
        request=TokenRefreshRequest,
        response=MintedTokens,
        handle=_refresh,
        rule=rules.nothing,
        errors=(errors.RefreshTokenOnlyError,),
        example=Example({}, _PAIR),
        reads=always,
    ),
    Operation(
        name="keys.revoke",
        summary="Revoke a customer's tokens",
        description=(
            "Ends every token that was minted for the customer until now; every process refuses "
            "them within a second."
        ),
        request=TokenRevokeRequest,
        response=TokensRevoked,
        handle=_revoke,
        rule=_named,
        errors=(),
        example=Example({"customer_id": "cus_123"}, {"revoked": True}),
    ),
)
