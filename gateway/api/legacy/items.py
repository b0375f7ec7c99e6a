"""Items of products: from those of 1.2 to those of a plan today, and back.

An item without a feature is the fixed price; ``included_usage`` may be ``inf``, ``usage_limit``
counts what is included too, and tiers do not: they begin where that ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Raw
from msgspec.structs import replace

from gateway.amounts import parse_decimal
from gateway.api.legacy import product_messages as wire
from gateway.engine.catalog import Catalog
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.lifecycle.catalog import plain
from gateway.messages.common import given, one_of
from gateway.messages.features import FeatureView
from gateway.messages.plans import (
    BasePrice,
    BasePriceRequest,
    ItemPriceRequest,
    ItemResetRequest,
    PlanDocument,
    PlanItem,
    PlanItemRequest,
    ProrationRequest,
    Tier,
    TierRequest,
    raw,
)
from gateway.messages.prices import tier_views
from gateway.ports import FeatureRecord

UNLIMITED = b'"inf"'

BILLING_METHODS = {"prepaid": "prepaid", "pay_per_use": "usage_based"}
"""What 1.2 calls a usage model, and what it is called today."""

USAGE_MODELS = {method: model for model, method in BILLING_METHODS.items()}

NEVER = (None, "one_off", "lifetime")
"""Intervals of 1.2 for what does not come again."""


def feature_type(feature: FeatureRecord | FeatureView) -> str:
    """Return what 1.2 calls the type of a feature in the catalog."""
    if feature.type == "metered":
        return "single_use" if feature.consumable else "continuous_use"
    return feature.type


async def item_views(catalog: Catalog, env: str, document: PlanDocument) -> list[wire.ItemView]:
    """Return the items of a plan, the fixed price first."""
    items = [] if document.price is None else [_fixed_price(document.price)]
    for item in document.items:
        feature = await catalog.feature_if_any(env, item.feature_id)
        if feature is not None:  # not deleted since this version of the plan
            items.append(_item(item, feature))
    return items


def base_price(item: wire.ProductItem) -> BasePriceRequest:
    """Return the fixed price of a plan."""
    return BasePriceRequest(
        amount=item.price, interval=_cycle(item.interval), interval_count=item.interval_count
    )


def plan_item(item: wire.ProductItem, feature: FeatureRecord | None, field: str) -> PlanItemRequest:
    """Return an item of a plan; without its feature, one that is only good for its shape."""
    unlimited = bytes(item.included_usage) == UNLIMITED
    is_priced = given(item.price) or bool(item.tiers)
    is_consumable = feature is not None and feature.consumable
    if is_consumable and item.reset_usage_when_enabled is False:
        raise NotSupportedError(
            f"{field}.reset_usage_when_enabled: what is consumable is not used yet when its "
            "product begins"
        )
    reset = None
    if is_consumable and item.interval not in NEVER:
        reset = ItemResetRequest(interval=item.interval or "", interval_count=item.interval_count)
    return PlanItemRequest(
        feature_id=item.feature_id or "",
        included=Raw() if unlimited else item.included_usage,
        unlimited=unlimited,
        reset=reset,
        price=_item_price(item, field) if is_priced else None,
        rollover=None if item.config is None else item.config.rollover,
        entity_feature_id=item.entity_feature_id,
        proration=_proration(item),
    )


def _proration(item: wire.ProductItem) -> ProrationRequest | None:
    """Return when another quantity of what is prepaid counts; who is to pay at once, pays at
    once.
    """
    config = item.config
    if config is None or item.usage_model != "prepaid":
        return None
    increase = None if config.on_increase == "bill_immediately" else config.on_increase
    return ProrationRequest(on_increase=increase, on_decrease=config.on_decrease)


def _item_price(item: wire.ProductItem, field: str) -> ItemPriceRequest:
    model = item.usage_model or "pay_per_use"
    one_of(model, BILLING_METHODS, f"{field}.usage_model")
    most = Raw()
    included = Decimal(0)
    if given(item.included_usage) and bytes(item.included_usage) != UNLIMITED:
        included = parse_decimal(bytes(item.included_usage), field=f"{field}.included_usage")
    if given(item.usage_limit):
        limit = parse_decimal(bytes(item.usage_limit), field=f"{field}.usage_limit")
        if limit < included:
            raise InvalidInputsError(f"{field}.usage_limit: must be at least included_usage")
        most = raw(plain(limit - included))
    return ItemPriceRequest(
        amount=item.price,
        tiers=[_tier(one, included, field) for one in item.tiers or ()],
        interval=_cycle(item.interval),
        interval_count=item.interval_count,
        billing_units=item.billing_units,
        billing_method=BILLING_METHODS[model],
        max_purchase=most,
    )


def _tier(tier: TierRequest, included: Decimal, field: str) -> TierRequest:
    if bytes(tier.to) == UNLIMITED:
        return tier
    to = included + parse_decimal(bytes(tier.to), field=f"{field}.tiers.to")
    return replace(tier, to=raw(plain(to)))


def _without(included: str, tiers: Sequence[Tier]) -> list[Tier]:
    return [
        one if one.to == "inf" else replace(one, to=plain(Decimal(one.to) - Decimal(included)))
        for one in tiers
    ]


def _cycle(interval: str | None) -> str:
    return "one_off" if interval in NEVER else interval or ""


def _fixed_price(price: BasePrice) -> wire.ItemView:
    interval, count = _interval(price.interval, price.interval_count)
    return wire.ItemView(
        type="price", interval=interval, interval_count=count, price=raw(price.amount)
    )


def _item(item: PlanItem, feature: FeatureRecord) -> wire.ItemView:
    price = item.price
    cycle = (item.reset_interval, item.reset_interval_count)
    if item.reset_interval == "never" and price is not None:
        cycle = (price.interval, price.interval_count)
    interval, count = _interval(*cycle)
    view = wire.ItemView(
        type="feature" if price is None else "priced_feature",
        feature_id=item.feature_id,
        feature_type="static" if feature.type == "boolean" else feature_type(feature),
        included_usage=Raw(UNLIMITED) if item.unlimited else raw(item.included),
        interval=interval,
        interval_count=count,
        entity_feature_id=item.entity_feature_id,
        reset_usage_when_enabled=feature.consumable,
    )
    if price is not None:
        view.usage_model = USAGE_MODELS[price.billing_method]
        view.price = None if price.amount is None else raw(price.amount)
        view.tiers = tier_views(_without(item.included, price.tiers)) or None
        view.billing_units = raw(price.billing_units)
        if price.max_purchase is not None:
            view.usage_limit = raw(plain(Decimal(item.included) + Decimal(price.max_purchase)))
    return view


def _interval(interval: str, count: int) -> tuple[str | None, int | None]:
    return (None, None) if interval in ("never", *NEVER) else (interval, count)
