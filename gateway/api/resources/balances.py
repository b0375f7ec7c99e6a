"""``balances.check`` and ``balances.track``: the two calls in the path of every request."""

from __future__ import annotations

from copy import deepcopy
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET

from gateway import errors
from gateway.api.operation import Call, Operation, Services, asking
from gateway.api.resources import rules
from gateway.engine.outage import Policy, StandIn
from gateway.lifecycle.catalog import feature_view
from gateway.messages.balances import (
    Balance,
    CheckRequest,
    CheckResponse,
    FinalizeRequest,
    FinalizeResponse,
    FlagView,
    TrackRequest,
    TrackResponse,
)

_encode = msgspec.json.Encoder().encode


async def check(services: Services, call: Call, request: CheckRequest) -> CheckResponse:
    """``balances.check``."""
    response = await services.engine.check(call.env, request, call.request_id, call.claim)
    if isinstance(response, StandIn):
        call.degraded = response.missing
        if response.policy is Policy.OPEN:
            call.status = 202
        response = response.response
    if _expanded(call.query, "balance.feature", "flag.feature"):
        response = deepcopy(response)  # it may be kept for when Redis is gone
        await _expand_features(services, call, response.balance, response.flag)
    return response


async def track(services: Services, call: Call, request: TrackRequest) -> TrackResponse:
    """``balances.track``."""
    env, request_id, claim = call.env, call.request_id, call.claim
    try:
        response = await services.engine.track(env, request, request_id, claim)
    except (errors.RedisUnavailableError, errors.UnknownOutcomeError) as error:
        if services.spooling is None or call.level:
            raise
        response = await services.spooling.keep(env, request, request_id, claim, error)
        call.status, call.degraded = 202, "redis"
        return response
    if request.async_:
        call.status = unawaited(response)
    if _expanded(call.query, "balance.feature"):
        await _expand_features(services, call, response.balance)
    return response


def unawaited(response: TrackResponse) -> int:
    """Make an answer what a caller that asked not to wait expects, and return its status. The usage
    is recorded all the same.
    """
    response.balance = None
    response.balances = UNSET
    response.deductions = UNSET
    return 202


async def _expand_features(
    services: Services, call: Call, *parts: Balance | FlagView | None
) -> None:
    for shown in parts:
        if shown is not None:
            feature = await services.catalog.feature(call.env, shown.feature_id)
            shown.feature = msgspec.Raw(_encode(feature_view(feature)))


def spends(request: CheckRequest) -> bool:
    """Whether a check uses or holds units."""
    return bool(request.send_event) or request.lock is not None


def _expanded(query: bytes, *names: str) -> bool:
    if not query:
        return False
    values = parse_qs(query.decode("latin-1")).get("expand", ())
    return any(name in names for value in values for name in value.split(","))


_LOOKUP = (
    errors.CustomerNotFoundError,
    errors.EntityNotFoundError,
    errors.FeatureNotFoundError,
    errors.FeatureLimitError,
    errors.PlanNotFoundError,
    errors.InvalidRequestError,
    errors.NotSupportedError,
)

OPERATIONS = (
    Operation(
        name="balances.check",
        summary="Check a balance",
        description=(
            "May the customer, or the entity, use `required_balance` units (1 if left out) of the "
            "feature? A denial is a 200 with `allowed: false`. With `send_event` the units are "
            "used in the same step if they are there; with `lock` they are held until "
            "`balances.finalize`: none if there are too few, or what there is with its "
            "`overage_behavior` `cap`, or all with `overflow`. `explain` says which balances and "
            "limits decided; `with_preview` adds to a denial which plans would give more of the "
            "feature, or of credits that pay for it. `customer_data` and `entity_data` create "
            "what does not exist yet. The query parameter `expand=balance.feature` (for a flag "
            "`flag.feature` too) adds the feature to the answer. What cannot be decided because "
            "Redis or SQL does not answer is answered by `on_outage` of the feature (202 where it "
            "is `open`), with the header `x-tallygate-degraded`."
        ),
        request=CheckRequest,
        response=CheckResponse,
        handle=check,
        rule=rules.check,
        errors=(*_LOOKUP, errors.LockExistsError, errors.IdempotencyKeyError),
        claims=spends,
        hot=True,
        reads=lambda request: not spends(request),
    ),
    Operation(
        name="balances.track",
        summary="Track usage",
        description=(
            "Records `value` units (1 if left out; negative gives back) of a feature, or of every "
            "feature that lists `event_name`. What the balance does not cover is dropped (`cap`, "
            "the default), refused as a whole (`reject`) or taken below zero (`overflow`). With "
            "`async` the answer is a 202 without the balance, and so it is without Redis where the "
            "deployment keeps tracks until it is back (`x-tallygate-degraded`). `lock` holds the "
            "units until `balances.finalize`; `dry_run` answers and writes nothing; a repeated "
            "`idempotency_key` (or Idempotency-Key header) gets the first answer again."
        ),
        request=TrackRequest,
        response=TrackResponse,
        handle=track,
        rule=rules.track,
        errors=(
            *_LOOKUP,
            errors.EventNotFoundError,
            errors.InsufficientBalanceError,
            errors.LockExistsError,
            errors.IdempotencyKeyError,
        ),
        queues=True,
        claims=lambda request: not request.dry_run,
        hot=True,
        reads=lambda request: bool(request.dry_run),
    ),
    Operation(
        name="balances.finalize",
        summary="End a lock",
        description=(
            "Confirms what a lock holds, or `override_value` instead, or releases it. What goes "
            "back goes to exactly the balances it came from. Repeating the call answers the same. "
            "A lock nobody finalizes is released at `expires_at`, 24 hours after it was made if "
            "nothing else was said."
        ),
        request=FinalizeRequest,
        response=FinalizeResponse,
        handle=asking(
            lambda engine, call, request: engine.finalize(call.env, request, call.request_id)
        ),
        rule=rules.finalize,
        errors=(
            errors.CustomerNotFoundError,
            errors.InvalidRequestError,
            errors.LockAmbiguousError,
            errors.LockEndedError,
        ),
    ),
)
