"""What a plan may give of one feature: the item rules of cold-path section 2.3, pure.

``plan_item`` turns what was sent into what is stored, with everything resolved that attaching the
plan would else have to look up. Each refusal names the field the caller has to change.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gateway import amounts
from gateway.errors import (
    InvalidInputsError,
    InvalidItemError,
    NotSupportedError,
)
from gateway.lifecycle.catalog import CatalogView, bounded, plain, resolve_reset
from gateway.messages import plans as wire
from gateway.messages.common import given, integer, one_of, whole
from gateway.messages.plans import ItemPrice, PlanItem, Rollover, Tier
from gateway.ports import FeatureRecord

PRICE_PLACES = 12
"""Decimal places of a price per unit; fractions of a cent per token need about eight."""

COUNT_MAX = 1_000
"""Longest interval, in its unit; calendar arithmetic stays inside four-digit years."""

PERCENT_MAX = Decimal(100)


def plan_item(request: wire.PlanItemRequest, catalog: CatalogView, field: str) -> PlanItem:
    """Return an item as it is stored; ``field`` is where it stands in the request."""
    feature = catalog.feature(request.feature_id)
    if feature.type == "boolean":
        _check_boolean(request, field)
    _check_entity_feature(request, catalog, field)
    _check_pooled(request, feature, field)
    unlimited = bool(request.unlimited)
    included = number(request.included, f"{field}.included", feature.precision) or Decimal(0)
    if unlimited and (included or request.price is not None):
        raise InvalidItemError(f"{field}.unlimited: excludes included and price")
    price = _item_price(request.price, included, f"{field}.price")
    reset = _reset(request.reset, f"{field}.reset")
    _check_item(request, feature, price, reset, field)
    interval, count = resolve_reset(feature, reset, price_cycle(price))
    return PlanItem(
        feature_id=feature.id,
        included=plain(included),
        unlimited=unlimited,
        pooled=bool(request.pooled),
        reset_interval=interval,
        reset_interval_count=count,
        entity_feature_id=request.entity_feature_id,
        price=price,
        rollover=_rollover(request.rollover, feature, interval, f"{field}.rollover"),
        on_increase=_deferred_increase(request.proration),
        on_decrease=None if request.proration is None else request.proration.on_decrease,
    )


def _check_pooled(request: wire.PlanItemRequest, feature: FeatureRecord, field: str) -> None:
    """Refuse a pooled item that is more than units to be used up."""
    if not request.pooled:
        return
    if request.entity_feature_id:
        raise InvalidItemError(f"{field}.pooled: excludes entity_feature_id")
    if feature.type == "boolean" or not feature.consumable:
        raise NotSupportedError(f"{field}.pooled: {feature.id} is not consumable")
    for name in ("price", "rollover"):
        if getattr(request, name) is not None:
            raise NotSupportedError(f"{field}.{name}: pooled items with it are not supported")


def price_cycle(price: ItemPrice | None) -> tuple[str, int] | None:
    """Return interval and count of a price."""
    return (price.interval, price.interval_count) if price else None


def price_number(value: msgspec.Raw, field: str) -> Decimal | None:
    """Return a sum of money, or None when none was sent."""
    return number(value, field, PRICE_PLACES)


def number(
    value: msgspec.Raw,
    field: str,
    places: int = amounts.PRECISION_MAX,
    most: Decimal = amounts.INCLUDED_MAX,
) -> Decimal | None:
    """Return a number from 0 to ``most``, rounded half up, or None when none was sent."""
    if not given(value):
        return None
    return bounded(amounts.parse_decimal(bytes(value), field=field), places, most, field)


def count(value: float | None, field: str) -> int:
    """Return how many intervals make one; 1 when nothing was sent."""
    return whole(value, field, 1, COUNT_MAX) or 1


def _check_entity_feature(request: wire.PlanItemRequest, catalog: CatalogView, field: str) -> None:
    if request.entity_feature_id is None:
        return
    entity_feature = catalog.feature(request.entity_feature_id)
    name = f"{field}.entity_feature_id"
    if entity_feature.type != "metered" or entity_feature.consumable:
        raise InvalidItemError(
            f"{name}: {entity_feature.id} must be a metered, non-consumable feature such as seats"
        )
    if entity_feature.id == request.feature_id:
        raise InvalidItemError(f"{name}: an entity cannot be granted units of its own feature")


def _check_item(
    request: wire.PlanItemRequest,
    feature: FeatureRecord,
    price: ItemPrice | None,
    reset: tuple[str, int] | None,
    field: str,
) -> None:
    cycle = price_cycle(price)
    if feature.consumable and price and not price.prepaid and reset not in (None, cycle):
        raise InvalidItemError(
            f"{field}.reset: may differ from the price's interval only for a prepaid price"
        )
    _check_proration(request.proration, price, f"{field}.proration")


def _check_boolean(request: wire.PlanItemRequest, field: str) -> None:
    given_fields = {
        "unlimited": bool(request.unlimited),
        "included": given(request.included) and bytes(request.included) not in (b"0", b"0.0"),
        "price": request.price is not None,
        "reset": request.reset is not None,
        "rollover": request.rollover is not None,
    }
    for name, is_given in given_fields.items():
        if is_given:
            raise InvalidItemError(f"{field}.{name}: a boolean feature has none")


def _item_price(
    request: wire.ItemPriceRequest | None, included: Decimal, field: str
) -> ItemPrice | None:
    if request is None:
        return None
    one_of(request.billing_method, wire.BILLING_METHODS, f"{field}.billing_method")
    one_of(request.interval, wire.BILLING_INTERVALS, f"{field}.interval")
    if request.billing_method == "usage_based" and request.interval == "one_off":
        raise InvalidItemError(f"{field}.interval: a usage_based price cannot be one_off")
    if given(request.amount) == bool(request.tiers):
        raise InvalidInputsError(f"{field}: needs exactly one of amount and tiers")
    tiers = _tiers(request, included, field)
    amount = price_number(request.amount, f"{field}.amount")
    if len(tiers) == 1:
        amount, tiers = Decimal(tiers[0].amount), []
    units = number(request.billing_units, f"{field}.billing_units")
    if units is not None and not units:
        raise InvalidInputsError(f"{field}.billing_units: must be greater than 0")
    most = number(request.max_purchase, f"{field}.max_purchase")
    return ItemPrice(
        interval=request.interval,
        interval_count=count(request.interval_count, f"{field}.interval_count"),
        billing_method=request.billing_method,
        amount=None if amount is None else plain(amount),
        tiers=tiers,
        tier_behavior=_tier_behavior(request, f"{field}.tier_behavior") if tiers else None,
        billing_units=plain(units or Decimal(1)),
        max_purchase=plain(most) if most else None,
    )


def _tier_behavior(request: wire.ItemPriceRequest, field: str) -> str:
    behavior = request.tier_behavior or "graduated"
    one_of(behavior, wire.TIER_BEHAVIORS, field)
    if behavior == "volume" and request.billing_method != "prepaid":
        raise InvalidItemError(f"{field}: volume needs a prepaid price")
    return behavior


def _tiers(request: wire.ItemPriceRequest, included: Decimal, field: str) -> list[Tier]:
    tiers: list[Tier] = []
    below = included
    for index, tier in enumerate(request.tiers or ()):
        name = f"{field}.tiers.{index}"
        bound = _tier_bound(tier.to, f"{name}.to")
        if tiers and tiers[-1].to == "inf":
            raise InvalidItemError(f"{name}.to: follows a tier without end")
        if bound is not None and bound <= below:
            than = "included" if index == 0 else "the tier before"
            raise InvalidItemError(f"{name}.to: must be greater than {than} ({plain(below)})")
        below = below if bound is None else bound
        flat = price_number(tier.flat_amount, f"{name}.flat_amount")
        if flat is not None and (request.tier_behavior != "volume" or len(request.tiers or ()) < 2):
            raise InvalidItemError(f"{name}.flat_amount: needs volume and more than one tier")
        amount = price_number(tier.amount, f"{name}.amount")
        if amount is None and flat is None:
            raise InvalidInputsError(f"{name}.amount: is required")
        tiers.append(
            Tier(
                to="inf" if bound is None else plain(bound),
                amount=plain(amount or Decimal(0)),
                flat_amount=None if flat is None else plain(flat),
            )
        )
    return tiers


def _tier_bound(value: msgspec.Raw, field: str) -> Decimal | None:
    return None if bytes(value) == b'"inf"' else number(value, field)


def _reset(request: wire.ItemResetRequest | None, field: str) -> tuple[str, int] | None:
    if request is None:
        return None
    one_of(request.interval, wire.RESET_INTERVALS, f"{field}.interval")
    return request.interval, count(request.interval_count, f"{field}.interval_count")


def _check_proration(
    request: wire.ProrationRequest | None, price: ItemPrice | None, field: str
) -> None:
    if request is None:
        return
    one_of(request.on_increase, wire.ON_INCREASE, f"{field}.on_increase")
    one_of(request.on_decrease, wire.ON_DECREASE, f"{field}.on_decrease")
    if price is None or not price.prepaid:
        raise InvalidItemError(f"{field}: needs a prepaid price")
    if request.on_increase == "bill_immediately":
        raise InvalidItemError(f"{field}.on_increase: bill_immediately is not for prepaid prices")


def _deferred_increase(request: wire.ProrationRequest | None) -> str | None:
    """Return how more units are paid for; None at once, as without a word about it."""
    said = None if request is None else request.on_increase
    return said if said in wire.IN_NEXT_CYCLE else None


def _rollover(
    request: wire.RolloverRequest | None, feature: FeatureRecord, interval: str, field: str
) -> Rollover | None:
    if request is None:
        return None
    if not feature.consumable or interval == "one_off":
        raise InvalidItemError(f"{field}: only a consumable feature that resets rolls over")
    return rollover_rule(request, field)


def rollover_rule(request: wire.RolloverRequest, field: str) -> Rollover:
    """Return a rollover as it is stored; ``field`` is where it stands in the request."""
    most = number(request.max, f"{field}.max")
    percentage = number(request.max_percentage, f"{field}.max_percentage", most=PERCENT_MAX)
    if most is not None and percentage is not None:
        raise InvalidInputsError(f"{field}: max and max_percentage exclude each other")
    if (most is not None and not most) or (percentage is not None and not percentage):
        name = "max" if most is not None else "max_percentage"
        raise InvalidInputsError(f"{field}.{name}: must be greater than 0")
    unit = request.expiry_duration_type or request.duration or "month"
    one_of(unit, wire.ROLLOVER_UNITS, f"{field}.expiry_duration_type")
    length = integer(request.expiry_duration_length, field=f"{field}.expiry_duration_length")
    if length is None:
        length = integer(request.length, field=f"{field}.length")
    if length is not None and not 0 <= length <= COUNT_MAX:
        raise InvalidInputsError(f"{field}.expiry_duration_length: must be 0 to {COUNT_MAX}")
    return Rollover(
        max=None if most is None else plain(most),
        max_percentage=None if percentage is None else plain(percentage),
        expiry_duration_type=unit,
        expiry_duration_length=1 if length is None else length,
    )
