"""What a key that is bound to something may call, and what a web page needs to call it.

Only such keys come here: an operation is handed back with a rule in front of its own, so that keys
that may do everything pay nothing. A publishable key stands in web pages, where anybody can read
it: it may read what a page shows, and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.api.errors import Reply
from gateway.api.operation import Call, Operation, Rule
from gateway.api.versions import Version
from gateway.api_keys import ADMIN, RESOURCES, allows
from gateway.engine.principals import Access
from gateway.errors import (
    EndpointNotPublicError,
    InsufficientScopesError,
    InvalidRequestError,
    InvalidVersionError,
    TokenRefusedError,
)
from gateway.tokens import Kind, Token

PUBLIC = frozenset({"balances.check", "customers.get", "plans.list"})
"""What a publishable key may call."""

_OWN = frozenset(
    [
        "balances.check",
        "balances.track",
        "customers.get",
        "entities.get",
        "events.aggregate",
        "events.list",
    ]
)
"""What an access token may call, for its own customer."""

REFRESH = "keys.refresh"
"""The one operation a refresh token may call."""

_SECRETIVE = frozenset({"keys.mint", REFRESH})
"""What they answer opens doors: no script changes anything for it, and to read is not enough."""

_EXPOSED = (
    b"x-request-id, retry-after, x-tallygate-degraded, "
    b"ratelimit-limit, ratelimit-remaining, ratelimit-reset"
)

READABLE = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
)
"""Headers that let a page of any origin read an answer."""

PREFLIGHT_SECONDS = 86_400
"""How long a browser may remember what it was told about a route."""

_CHANGES = ("send_event", "lock", "customer_data", "entity_data")
"""Fields of a check that make it change something."""


def is_public(operation: Operation) -> bool:
    """Whether publishable keys may call an operation."""
    return operation.base in PUBLIC


def is_own(operation: Operation) -> bool:
    """Whether an access token may call an operation, for its own customer."""
    return operation.base in _OWN


def permitted(operation: Operation, call: Call, access: Access) -> Operation:
    """Return the operation as a bound key or a token may call it. Raises
    ``EndpointNotPublicError`` or, for a token, ``TokenRefusedError`` and ``InvalidVersionError``.
    """
    if access.token is not None:
        return _permitted_token(operation, call, access.token, access.scopes)
    if access.public:
        if not is_public(operation):
            raise EndpointNotPublicError
        call.public = call.restricted = True
        return operation._replace(rule=_harmless(operation))
    if ADMIN in access.scopes:
        return operation
    call.restricted = "customers:write" not in access.scopes
    return operation._replace(rule=_within(operation, access.scopes))


def _permitted_token(
    operation: Operation, call: Call, token: Token, scopes: frozenset[str]
) -> Operation:
    if call.version < Version.V2_3:
        raise InvalidVersionError("Customer tokens are taken in API version 2.3 or later")
    if token.kind is Kind.REFRESH:
        if operation.base != REFRESH:
            raise TokenRefusedError("A refresh token may only call keys.refresh")
        return operation
    if not is_own(operation):
        raise TokenRefusedError
    call.restricted = True
    call.customer_id = token.customer_id
    return operation._replace(rule=_within(operation, scopes))


def preflight(methods: Iterable[str]) -> Reply:
    """Return the answer to a browser that asks whether a page may call a route."""
    headers = (
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (
            b"access-control-allow-headers",
            b"authorization, content-type, x-api-version, x-request-id",
        ),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
    )
    return Reply(204, b"", headers)


def _harmless(operation: Operation) -> Rule:
    def rule(call: Call, request: object) -> None:
        for field in _CHANGES:
            if getattr(request, field, None):
                raise InvalidRequestError(f"{field}: a publishable key changes nothing")
        operation.rule(call, request)

    return rule


def _within(operation: Operation, scopes: frozenset[str]) -> Rule:
    resource = RESOURCES[operation.resource]

    def rule(call: Call, request: object) -> None:
        reads = operation.reads(request) and operation.base not in _SECRETIVE
        right = "read" if reads else "write"
        _require(f"{resource}:{right}", scopes)
        for one in request if isinstance(request, list) else (request,):
            if getattr(one, "customer_data", None) or getattr(one, "entity_data", None):
                _require("customers:write", scopes)
        operation.rule(call, request)

    return rule


def _require(scope: str, scopes: frozenset[str]) -> None:
    if not allows(scopes, scope):
        raise InsufficientScopesError(f"This key has not the scope {scope}")
