"""Stored prices the way answers show them."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from gateway.messages.balances import PriceView
from gateway.messages.common import Json
from gateway.messages.plans import ItemPrice, Tier, raw


def tier_views(tiers: list[Tier]) -> list[Json]:
    """Return stored tiers as they are answered."""
    return [msgspec.Raw(_tier_json(tier)) for tier in tiers]


def _tier_json(tier: Tier) -> bytes:
    view: dict[str, object] = {
        "to": "inf" if tier.to == "inf" else raw(tier.to),
        "amount": raw(tier.amount),
    }
    if tier.flat_amount is not None:
        view["flat_amount"] = raw(tier.flat_amount)
    return msgspec.json.encode(view)


def price_view(price: ItemPrice) -> PriceView:
    """Return a stored price the way a balance shows it."""
    return PriceView(
        amount=UNSET if price.amount is None else raw(price.amount),
        tiers=tier_views(price.tiers) if price.tiers else UNSET,
        tier_behavior=price.tier_behavior or UNSET,
        billing_units=raw(price.billing_units),
        billing_method=price.billing_method,
        max_purchase=None if price.max_purchase is None else raw(price.max_purchase),
    )
