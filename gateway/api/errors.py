"""Errors on their way out: the only place that knows HTTP statuses.

Every failure leaves as ``{message, code, env}``, whatever raised it. A message may repeat the name
of a field or an id the caller sent, never a secret and nothing of the inside. Nothing a client
sends may end as a 500: decoder errors are translated here, and what is left is a fault of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gateway import errors
from gateway.errors import GatewayError, InvalidInputsError
from gateway.messages.common import ErrorBody

Headers = tuple[tuple[bytes, bytes], ...]

STATUSES: dict[type[GatewayError], int] = {
    GatewayError: 500,
    errors.InvalidInputsError: 400,
    errors.BodyTooLargeError: 413,
    errors.HeadTooLargeError: 431,
    errors.RequestTimeoutError: 408,
    errors.InvalidRequestError: 400,
    errors.InvalidVersionError: 400,
    errors.InvalidCursorError: 400,
    errors.InvalidFeatureError: 400,
    errors.InvalidItemError: 400,
    errors.InvalidPriceError: 400,
    errors.InsufficientBalanceError: 400,
    errors.FeatureLimitError: 400,
    errors.NotSupportedError: 400,
    errors.EntityAmbiguousError: 400,
    errors.InvalidOptionsError: 400,
    errors.VersionFlagsError: 400,
    errors.HistoricalDefaultError: 400,
    errors.PropagationError: 400,
    errors.PlanExistsError: 400,
    errors.NoSecretKeyError: 401,
    errors.InvalidSecretKeyError: 401,
    errors.InvalidPublishableKeyError: 401,
    errors.EndpointNotPublicError: 401,
    errors.InvalidTokenError: 401,
    errors.EndedTokenError: 401,
    errors.InsufficientScopesError: 403,
    errors.SandboxOnlyError: 403,
    errors.TokenRefusedError: 403,
    errors.RefreshTokenOnlyError: 403,
    errors.RouteNotFoundError: 404,
    errors.CustomerNotFoundError: 404,
    errors.EntityNotFoundError: 404,
    errors.FeatureNotFoundError: 404,
    errors.EventNotFoundError: 404,
    errors.PlanNotFoundError: 404,
    errors.SubscriptionNotFoundError: 404,
    errors.BalanceNotFoundError: 404,
    errors.MethodNotAllowedError: 405,
    errors.CustomerExistsError: 409,
    errors.EntityExistsError: 409,
    errors.LockExistsError: 409,
    errors.LockAmbiguousError: 409,
    errors.LockEndedError: 409,
    errors.IdempotencyKeyError: 409,
    errors.FeatureExistsError: 409,
    errors.FeatureInUseError: 409,
    errors.PlanAttachedError: 409,
    errors.SubscriptionExistsError: 409,
    errors.BalanceExistsError: 409,
    errors.BalancePooledError: 409,
    errors.BalancePricedError: 409,
    errors.RateLimitError: 429,
    errors.UnavailableError: 503,
    errors.RedisUnavailableError: 503,
    errors.BacklogError: 503,
    errors.RestoresError: 503,
    errors.UnconfirmedError: 503,
    errors.UnknownOutcomeError: 503,
}

ENV_UNKNOWN = "sandbox"
"""Environment named in an error before the key is known; the reference does the same."""

JSON = (b"content-type", b"application/json")

_encode = msgspec.json.Encoder().encode

_TYPES = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
}
_RECEIVED = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}
_LOCATED = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(\w+)`$")
_EXPECTED = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`$")
_LENGTH = re.compile(r"^Expected `(\w+)` of length (<=|>=) (\d+)$")


class Reply(NamedTuple):
    """An answer, ready to be written."""

    status: int
    body: bytes
    headers: Headers


def status_of(error: type[GatewayError]) -> int:
    """Return the HTTP status of an error, or of the nearest class above it that has one."""
    return next(STATUSES[kind] for kind in error.__mro__ if kind in STATUSES)


def error_reply(
    error: GatewayError,
    env: str,
    *,
    repeatable: bool = False,
    sent_as: Mapping[str, str] = MappingProxyType({}),
) -> Reply:
    """Return the answer to a failed request; ``repeatable`` says that sending it again cannot count
    twice, whatever became of it, ``sent_as`` what its fields were called.
    """
    status = status_of(type(error))
    message, code = _as_sent(error.message, sent_as), error.code
    if status == 500:
        # Faults of ours are told to the log, not to the caller.
        message, code = "Something went wrong inside the gateway", GatewayError.code
    return Reply(
        status,
        _encode(ErrorBody(message=message, code=code, env=env)),
        _headers(error, repeatable=repeatable),
    )


def _as_sent(message: str, names: Mapping[str, str]) -> str:
    """Return a message with the field it begins with under the name it was sent by."""
    place, colon, reason = message.partition(": ")
    for ours, theirs in names.items():
        place = re.sub(rf"(?<![^.]){re.escape(ours)}(?![^.])", theirs, place)
    return place + colon + reason


def _headers(error: GatewayError, *, repeatable: bool) -> Headers:
    unknown = isinstance(error, errors.UnknownOutcomeError | errors.UnconfirmedError)
    if isinstance(error, errors.UnavailableError) and (repeatable or not unknown):
        # After one that may have been carried out a blind retry could count twice, so none is
        # suggested without an idempotency key.
        return (JSON, (b"retry-after", b"1"))
    if isinstance(error, errors.MethodNotAllowedError):
        return (JSON, (b"allow", b"POST"))
    return (JSON,)


def translate(error: Exception) -> InvalidInputsError | None:
    """Return what a decoder's error means to the caller; None when it is not one."""
    if isinstance(error, msgspec.ValidationError):
        return InvalidInputsError(_explain(str(error)))
    if isinstance(error, msgspec.DecodeError):
        detail = str(error).removeprefix("JSON is malformed: ")
        if detail == "Input data was truncated":
            detail = "it ends too early"
        return InvalidInputsError(f"The request body is not valid JSON: {detail}")
    if isinstance(error, RecursionError):
        return InvalidInputsError("The request body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return InvalidInputsError("The request body is not valid UTF-8")
    return None


def _explain(text: str) -> str:
    located = _LOCATED.match(text)
    reason, path = (located["text"], located["path"]) if located else (text, None)
    field = _field(path or "")
    if missing := _MISSING.match(reason):
        return f"{f'{field}.' if field else ''}{missing[1]}: is required"
    return f"{field or 'input'}: {_reason(reason)}"


def _field(path: str) -> str:
    return path.replace("[...]", "").replace("[", ".").replace("]", "").strip(".")


def _reason(text: str) -> str:
    if expected := _EXPECTED.match(text):
        wanted = dict.fromkeys(
            _TYPES.get(kind, kind) for kind in expected[1].split(" | ") if kind != "null"
        )
        return f"must be {' or '.join(wanted)} (received {_RECEIVED.get(expected[2], expected[2])})"
    if length := _LENGTH.match(text):
        bound = "at most" if length[2] == "<=" else "at least"
        return (
            f"must have {bound} {length[3]} {'elements' if length[1] == 'array' else 'characters'}"
        )
    return text[:1].lower() + text[1:]
