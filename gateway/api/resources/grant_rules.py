"""Rules of the operations on single balances: which fields exclude each other, which times and ids
they may name (hot-path section 1.5).

As in ``gateway.api.resources.rules`` a rule may tidy its request; what depends on the type of a
feature or on what a customer holds is decided in ``gateway.lifecycle.grants``.
"""

from __future__ import annotations

import re

from msgspec import UNSET

from gateway.api.operation import Call
from gateway.api.resources import rules, shapes
from gateway.errors import GatewayError, InvalidInputsError
from gateway.ids import ROW_PREFIX
from gateway.lifecycle.plan_items import COUNT_MAX, rollover_rule
from gateway.listing import STATUSES
from gateway.messages.balances import TrackRequest
from gateway.messages.common import ID_MAX, given, one_of, whole
from gateway.messages.grants import (
    BalanceCreateRequest,
    BalanceDeleteRequest,
    BalanceListRequest,
    BalanceUpdateRequest,
    UsageSetRequest,
)
from gateway.messages.plans import RESET_INTERVALS, RolloverRequest

TIME_MS_MAX = 10**13 - 1
"""Latest time a balance may name, in the year 2286; ranks keep times in 13 digits."""

LISTED_MAX = 200
"""Balances of one page; each may cost a read of its owner."""

BALANCE_ID = re.compile(rf"[a-zA-Z0-9_:.-]{{1,{ID_MAX}}}")
_TARGETS = ("remaining", "add_to_balance", "usage")


def create(call: Call, request: BalanceCreateRequest) -> None:
    """``balances.create``."""
    _names(request)
    if request.balance_id is not None:
        _new_balance_id(request.balance_id)
    shapes.number(request.included_grant, "included_grant")
    if request.unlimited and given(request.included_grant):
        raise InvalidInputsError("unlimited: excludes included_grant")
    if request.unlimited and request.reset is not None:
        raise InvalidInputsError("reset: an unlimited balance does not reset")
    resets = request.reset is not None and request.reset.interval != "one_off"
    if request.reset is not None:
        one_of(request.reset.interval, RESET_INTERVALS, "reset.interval")
        count = request.reset.interval_count
        request.reset.interval_count = whole(count, "reset.interval_count", 1, COUNT_MAX)
    if request.rollover is not None:
        _check_rollover(request.rollover)
        if not resets:
            raise InvalidInputsError("rollover: needs a reset to roll over at")
    _times(call, request)
    if request.next_reset_at is not None and not resets:
        raise InvalidInputsError("next_reset_at: needs a reset")


def update(call: Call, request: BalanceUpdateRequest) -> None:
    """``balances.update``."""
    call.sent_as = {**call.sent_as, **_take_older_names(request)}
    _names(request)
    sent = [field for field in (*_TARGETS, "included_grant") if given(getattr(request, field))]
    for field in sent:
        shapes.number(getattr(request, field), field)
    targets = [field for field in sent if field in _TARGETS]
    if len(targets) > 1:
        raise InvalidInputsError(f"{targets[0]}: excludes {targets[1]}")
    _times(call, request)
    if not sent and request.next_reset_at is None and request.expires_at is None:
        raise InvalidInputsError(
            "input: needs remaining, add_to_balance, usage, included_grant, next_reset_at "
            "or expires_at"
        )


def delete(_: Call, request: BalanceDeleteRequest) -> None:
    """``balances.delete``."""
    _names(request)
    if request.recalculate_balances and request.feature_id is None:
        raise InvalidInputsError("feature_id: is required with recalculate_balances")
    if request.feature_id is None and request.balance_id is None:
        raise InvalidInputsError("input: needs feature_id or balance_id")


def listing(_: Call, request: BalanceListRequest) -> None:
    """``balances.list``."""
    shapes.customer_id(request.customer_id)
    if request.customer_id is None and request.entity_id is not None:
        raise InvalidInputsError("entity_id: needs customer_id")
    shapes.text_ids(entity_id=request.entity_id, feature_id=request.feature_id)
    if request.plan_id not in (None, UNSET):
        shapes.plan_id(str(request.plan_id))
    shapes.length(request.statuses, "statuses", len(STATUSES))
    for index, status in enumerate(request.statuses or ()):
        one_of(status, STATUSES, f"statuses.{index}")
    request.limit = whole(request.limit, "limit", 1, LISTED_MAX)
    shapes.name(request.start_cursor, "start_cursor", most=rules.QUERY_MAX)


def set_usage(_: Call, request: UsageSetRequest) -> None:
    """``usage``."""
    shapes.customer_id(request.customer_id)
    shapes.text_ids(entity_id=request.entity_id, feature_id=request.feature_id)
    shapes.number(request.value, "value", required=True)
    rules.subject_data(request.customer_data, request.entity_data, request.entity_id)


def batch_track(call: Call, request: list[TrackRequest]) -> None:
    """``balances.batch_track``: the rule of ``balances.track`` for each, naming its index."""
    for index, item in enumerate(request):
        try:
            rules.track(call, item)
        except GatewayError as error:
            reason = error.message.removeprefix("input: ")
            separator = ": " if reason != error.message else "."
            raise type(error)(f"{index}{separator}{reason}") from error


def _names(request: BalanceCreateRequest | BalanceUpdateRequest | BalanceDeleteRequest) -> None:
    shapes.customer_id(request.customer_id)
    shapes.text_ids(
        feature_id=request.feature_id, entity_id=request.entity_id, balance_id=request.balance_id
    )
    one_of(getattr(request, "interval", None), RESET_INTERVALS, "interval")


def _new_balance_id(balance_id: str) -> None:
    if BALANCE_ID.fullmatch(balance_id) is None:
        raise InvalidInputsError(
            f"balance_id: must be 1 to {ID_MAX} letters, digits, underscores, hyphens, colons "
            "or dots"
        )
    if balance_id.startswith(f"{ROW_PREFIX}_"):
        raise InvalidInputsError(f"balance_id: must not begin with {ROW_PREFIX}_")


def _check_rollover(request: RolloverRequest) -> None:
    stored = rollover_rule(request, "rollover")
    is_said = request.expiry_duration_length is not None or request.length is not None
    if stored.expiry_duration_type == "month" and not (is_said and stored.expiry_duration_length):
        raise InvalidInputsError(
            "rollover.expiry_duration_length: must be at least 1 month, or the type forever"
        )


def _take_older_names(request: BalanceUpdateRequest) -> dict[str, str]:
    """Put what was sent by older names where it belongs; return these names."""
    names: dict[str, str] = {}
    if given(request.current_balance):
        if given(request.remaining):
            raise InvalidInputsError("current_balance: excludes remaining, its newer name")
        request.remaining = request.current_balance
        names["remaining"] = "current_balance"
    if request.customer_entitlement_id is not None:
        if request.balance_id is not None:
            raise InvalidInputsError("customer_entitlement_id: excludes balance_id, its newer name")
        request.balance_id = request.customer_entitlement_id
        names["balance_id"] = "customer_entitlement_id"
    return names


def _times(call: Call, request: BalanceCreateRequest | BalanceUpdateRequest) -> None:
    for field in ("expires_at", "next_reset_at"):
        time_ms = whole(getattr(request, field), field, 1, TIME_MS_MAX)
        if time_ms is not None and time_ms <= call.now_ms:
            raise InvalidInputsError(f"{field}: must be in the future (Unix milliseconds)")
        setattr(request, field, time_ms)
    if (
        request.next_reset_at is not None
        and request.expires_at is not None
        and request.next_reset_at >= request.expires_at
    ):
        raise InvalidInputsError("next_reset_at: must be before expires_at")
