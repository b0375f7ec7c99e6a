"""Every error the gateway can answer with, once.

A class docstring is the default message; ``code`` is the wire code of the specification (hot-path
section 7, cold-path section 9). No HTTP status lives here: ``gateway.api.errors`` is the only place
that maps codes to statuses. Expected answers (a denial, a missing balance) are values, not errors.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class GatewayError(Exception):
    """Something went wrong inside the gateway."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        """Keep the message, or fall back to the class docstring."""
        self.message = message or inspect.cleandoc(type(self).__doc__ or "")
        super().__init__(self.message)


class SettingError(GatewayError):
    """A setting has a value outside its range."""


class StartError(GatewayError):
    """A part the gateway needs at start is missing or not usable."""


class InvalidInputsError(GatewayError):
    """The request does not fit its schema."""

    code = "invalid_inputs"


class BodyTooLargeError(InvalidInputsError):
    """The request body is larger than the limit."""

    code = "body_too_large"


class HeadTooLargeError(InvalidInputsError):
    """The request line and the headers are larger than the limit."""

    code = "head_too_large"


class RequestTimeoutError(InvalidInputsError):
    """The rest of the request did not come in time."""

    code = "request_timeout"


class InvalidRequestError(GatewayError):
    """The request breaks a rule of the lifecycle."""

    code = "invalid_request"


class InvalidVersionError(GatewayError):
    """The x-api-version header is not a version this gateway speaks."""

    code = "invalid_api_version"


class InvalidCursorError(GatewayError):
    """The cursor was not issued by this endpoint."""

    code = "invalid_cursor"


class InvalidFeatureError(GatewayError):
    """The feature definition, or the change to it, is not allowed."""

    code = "invalid_feature"


class InvalidItemError(GatewayError):
    """A plan item breaks a rule of the catalog."""

    code = "invalid_product_item"


class InvalidPriceError(GatewayError):
    """A price breaks a rule of the catalog."""

    code = "invalid_price"


class InsufficientBalanceError(GatewayError):
    """The balance does not cover the requested amount."""

    code = "insufficient_balance"


class FeatureLimitError(GatewayError):
    """The limit of this feature is reached."""

    code = "feature_limit_reached"


class NoSecretKeyError(GatewayError):
    """Secret key not found in the Authorization header."""

    code = "no_secret_key"


class InvalidSecretKeyError(GatewayError):
    """The secret key is not known."""

    code = "invalid_secret_key"


class InvalidPublishableKeyError(InvalidSecretKeyError):
    """The publishable key is not known."""

    code = "invalid_publishable_key"


class EndpointNotPublicError(GatewayError):
    """A publishable key may not call this operation; use a secret key."""

    code = "endpoint_not_public"


class InvalidTokenError(GatewayError):
    """The Authorization header does not carry a secret key (am_sk_...)."""

    code = "invalid_request"


class EndedTokenError(InvalidTokenError):
    """The customer token is not valid, or not any more."""


class InsufficientScopesError(GatewayError):
    """The key has not the scope this operation needs."""

    code = "insufficient_scopes"


class SandboxOnlyError(InsufficientScopesError):
    """Only the sandbox's clock can be read and moved; use a sandbox key (am_sk_test_...)."""


class TokenRefusedError(InsufficientScopesError):
    """A customer token may not call this operation."""


class RefreshTokenOnlyError(InsufficientScopesError):
    """Tokens are refreshed with a refresh token in the Authorization header."""


class RouteNotFoundError(GatewayError):
    """There is no such route."""

    code = "route_not_found"


class MethodNotAllowedError(GatewayError):
    """This route answers POST only."""

    code = "method_not_allowed"


class CustomerNotFoundError(GatewayError):
    """The customer does not exist."""

    code = "customer_not_found"


class EntityNotFoundError(GatewayError):
    """The entity does not exist."""

    code = "entity_not_found"


class FeatureNotFoundError(GatewayError):
    """The feature does not exist."""

    code = "feature_not_found"


class EventNotFoundError(GatewayError):
    """No feature lists this event name."""

    code = "invalid_request"


class PlanNotFoundError(GatewayError):
    """The plan does not exist."""

    code = "product_not_found"


class CustomerExistsError(GatewayError):
    """A customer with this id already exists."""

    code = "customer_already_exists"


class BalanceNotFoundError(GatewayError):
    """No balance fits the request."""

    code = "balance_not_found"


class BalanceExistsError(GatewayError):
    """There is such a balance already."""

    code = "invalid_request"


class BalancePricedError(GatewayError):
    """The balance belongs to a price of a plan."""

    code = "invalid_request"


class BalancePooledError(GatewayError):
    """The balance is what plans of entities give together."""

    code = "invalid_request"


class EntityExistsError(GatewayError):
    """An entity with this id already exists."""

    code = "entity_already_exists"


class LockExistsError(GatewayError):
    """A lock with this id is open."""

    code = "lock_already_exists"


class LockAmbiguousError(GatewayError):
    """Several customers have an open lock with this id; the call has to name one."""

    code = "invalid_request"


class LockEndedError(GatewayError):
    """The lock has been ended in another way."""

    code = "invalid_request"


class IdempotencyKeyError(GatewayError):
    """The idempotency key belongs to another call."""

    code = "duplicate_idempotency_key"


class EntityAmbiguousError(GatewayError):
    """Several customers have an entity with this id; send customer_id too."""

    code = "entity_id_required"


class FeatureExistsError(GatewayError):
    """A feature with this id already exists."""

    code = "duplicate_feature_id"


class FeatureInUseError(GatewayError):
    """The feature is used by a plan or a credit system; archive it instead."""

    code = "feature_in_use"


class PlanExistsError(GatewayError):
    """A plan with this id already exists."""

    code = "product_already_exists"


class VersionFlagsError(GatewayError):
    """The flags about versions of a plan contradict each other."""

    code = "conflicting_version_flags"


class HistoricalDefaultError(GatewayError):
    """Only the latest version of a plan can be enabled by itself."""

    code = "historical_plan_version_cannot_be_default"


class PropagationError(GatewayError):
    """The plan has no such variant."""

    code = "invalid_propagation_target"


class InvalidOptionsError(GatewayError):
    """A quantity is missing for a prepaid feature."""

    code = "invalid_options"


class SubscriptionNotFoundError(GatewayError):
    """No subscription fits the request."""

    code = "cus_product_not_found"


class SubscriptionExistsError(GatewayError):
    """The customer has, or had, a subscription of this id."""

    code = "duplicate_subscription_id"


class PlanAttachedError(GatewayError):
    """The plan is already attached."""

    code = "plan_already_attached"


class NotSupportedError(GatewayError):
    """This part of the API is not supported."""

    code = "not_supported"


class RateLimitError(GatewayError):
    """Too many calls; nothing was changed. Try again later."""

    code = "rate_limit_exceeded"


class UnavailableError(GatewayError):
    """A store is unavailable; nothing was changed. Try again."""

    code = "service_unavailable"

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        """Keep the message, and as the text of the error what a log may say instead: a reason may
        name servers and users, which no caller has to know.
        """
        super().__init__(message)
        if reason:
            self.args = (reason,)


class RedisUnavailableError(UnavailableError):
    """Redis does not answer; nothing was changed. Try again."""


class BacklogError(UnavailableError):
    """SQL is too far behind Redis; nothing was changed. Try again later."""


class RestoresError(UnavailableError):
    """Too many customers are on their way from SQL to Redis; nothing was changed. Try again."""


class UnconfirmedError(UnavailableError):
    """The call was carried out, but the durability it asked for was not reached in time."""

    code = "durability_unconfirmed"


class UnknownOutcomeError(UnavailableError):
    """The connection was lost while the call was in flight: it may or may not have been applied."""

    code = "outcome_unknown"
