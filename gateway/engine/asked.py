"""What requests about plans ask for, as the rules of ``gateway.lifecycle`` take it. Pure."""

from __future__ import annotations

from decimal import Decimal

from gateway.amounts import parse_decimal
from gateway.lifecycle.reanchor import Anchor
from gateway.messages.billing import AttachRequest, FeatureQuantity, SubscriptionUpdateRequest
from gateway.messages.common import given


def quantities_of(listed: list[FeatureQuantity] | None) -> dict[str, Decimal]:
    """Return the quantity of each feature that is bought."""
    return {
        one.feature_id: parse_decimal(bytes(one.quantity), field="feature_quantities.quantity")
        for one in listed or ()
    }


def anchor_of(request: AttachRequest | SubscriptionUpdateRequest) -> Anchor | None:
    """Return where cycles are to be counted from, if that is asked for."""
    if not given(request.billing_cycle_anchor):
        return None
    raw = bytes(request.billing_cycle_anchor)
    if raw == b'"now"':
        return Anchor()
    return Anchor(int(parse_decimal(raw, field="billing_cycle_anchor")))


def version_of(request: AttachRequest | SubscriptionUpdateRequest) -> int | None:
    """Return the version of the plan that is asked for."""
    return whole(request.version)


def whole(value: float | None) -> int | None:
    """Return an integer that may have arrived as ``2.0``."""
    return None if value is None else int(value)
