"""Every operation, in the order the API page shows them; router and page both read this table."""

from __future__ import annotations

from gateway import errors
from gateway.api.legacy import previews
from gateway.api.operation import Operation
from gateway.api.resources import (
    balances,
    billing,
    clock,
    customers,
    entities,
    events,
    features,
    grants,
    keys,
    plans,
)
from gateway.api.resources.billing_examples import BILLING_EXAMPLES
from gateway.api.resources.examples import EXAMPLES

_RESOURCES = (
    balances,
    grants,
    customers,
    entities,
    billing,
    events,
    features,
    plans,
    keys,
    clock,
)
_EXAMPLES = EXAMPLES | BILLING_EXAMPLES

_HANDLERS = {"balances.check": previews.check}
"""What answers in shapes of 1.2 too, which no resource knows."""

OPERATIONS: tuple[Operation, ...] = tuple(
    one._replace(
        example=_EXAMPLES.get(one.name, one.example),
        handle=_HANDLERS.get(one.name, one.handle),
    )
    for resource in _RESOURCES
    for one in resource.OPERATIONS
)

COMMON_ERRORS: tuple[type[errors.GatewayError], ...] = (
    errors.InvalidInputsError,
    errors.InvalidVersionError,
    errors.NoSecretKeyError,
    errors.InvalidSecretKeyError,
    errors.InvalidPublishableKeyError,
    errors.EndpointNotPublicError,
    errors.InvalidTokenError,
    errors.EndedTokenError,
    errors.InsufficientScopesError,
    errors.TokenRefusedError,
    errors.MethodNotAllowedError,
    errors.RequestTimeoutError,
    errors.BodyTooLargeError,
    errors.HeadTooLargeError,
    errors.GatewayError,
    errors.RateLimitError,
    errors.UnavailableError,
    errors.RedisUnavailableError,
    errors.BacklogError,
    errors.RestoresError,
    errors.UnconfirmedError,
    errors.UnknownOutcomeError,
)
"""Errors any operation can answer with."""
