"""``billing.attach`` (cold-path sections 3.1 and 3.2)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from gateway.messages.common import Anything, Integer, Json, Number
from gateway.messages.subjects import CustomerData, EntityData


class FeatureQuantity(msgspec.Struct, kw_only=True):
    """How many units of a prepaid feature are bought; the included part counts."""

    feature_id: str
    quantity: Number


class AttachRequest(msgspec.Struct, kw_only=True):
    """Attach a plan to a customer or to one of its entities, at once and without payment."""

    customer_id: str
    plan_id: str
    entity_id: str | None = None
    version: Integer | None = None
    feature_quantities: list[FeatureQuantity] | None = None
    plan_schedule: str | None = None
    customize: Json = msgspec.field(default_factory=msgspec.Raw)
    carry_over_balances: Json = msgspec.field(default_factory=msgspec.Raw)
    carry_over_usages: Json = msgspec.field(default_factory=msgspec.Raw)
    starts_at: Number = msgspec.field(default_factory=msgspec.Raw)
    ends_at: Number = msgspec.field(default_factory=msgspec.Raw)
    subscription_id: Anything = msgspec.field(default_factory=msgspec.Raw)
    free_trial: Json = msgspec.field(default_factory=msgspec.Raw)
    license_quantities: Anything = msgspec.field(default_factory=msgspec.Raw)
    remove_plan_ids: Anything = msgspec.field(default_factory=msgspec.Raw)
    billing_cycle_anchor: Anything = msgspec.field(default_factory=msgspec.Raw)
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None


class AttachResponse(msgspec.Struct, kw_only=True):
    """The plan is attached; there is nothing to pay."""

    customer_id: str
    entity_id: str | UnsetType = UNSET
    payment_url: str | None = None
