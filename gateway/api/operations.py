"""Every operation, in the order the API page shows them; router and page both read this table."""

from __future__ import annotations

from gateway import errors
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

OPERATIONS: tuple[Operation, ...] = (
    *balances.OPERATIONS,
    *grants.OPERATIONS,
    *customers.OPERATIONS,
    *entities.OPERATIONS,
    *billing.OPERATIONS,
    *events.OPERATIONS,
    *features.OPERATIONS,
    *plans.OPERATIONS,
    *keys.OPERATIONS,
    *clock.OPERATIONS,
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
