"""``balances.check``, ``balances.track`` and the balance objects (hot-path sections 1.1 and
1.2).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from gateway.messages.common import Integer, Json, Number
from gateway.messages.subjects import CustomerData, EntityData


class CheckRequest(msgspec.Struct, kw_only=True):
    """May this customer (or entity) use ``required_balance`` units of the feature?"""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    required_balance: Number = msgspec.field(default_factory=msgspec.Raw)
    properties: Json = msgspec.field(default_factory=msgspec.Raw)
    send_event: bool | None = None
    with_preview: bool | None = None
    lock: Json = msgspec.field(default_factory=msgspec.Raw)
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None


class TrackRequest(msgspec.Struct, kw_only=True):
    """Record use of a feature, or of every feature that lists ``event_name``."""

    customer_id: str
    feature_id: str | None = None
    event_name: str | None = None
    entity_id: str | None = None
    value: Number = msgspec.field(default_factory=msgspec.Raw)
    properties: Json = msgspec.field(default_factory=msgspec.Raw)
    timestamp: Integer | None = None
    overage_behavior: str | None = None
    lock: Json = msgspec.field(default_factory=msgspec.Raw)
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None
    async_: bool | None = msgspec.field(default=None, name="async")


class ResetView(msgspec.Struct, kw_only=True):
    """When a balance starts anew."""

    interval: str
    interval_count: int | UnsetType = UNSET
    resets_at: int | None


class PriceView(msgspec.Struct, kw_only=True):
    """What a plan item costs; echoed from the plan."""

    amount: Number | UnsetType = UNSET
    tiers: list[Json] | UnsetType = UNSET
    tier_behavior: str | UnsetType = UNSET
    billing_units: Number
    billing_method: str
    max_purchase: Number | None


class Breakdown(msgspec.Struct, kw_only=True):
    """One source of a balance."""

    id: str
    plan_id: str | None
    included_grant: Number
    prepaid_grant: Number
    remaining: Number
    usage: Number
    unlimited: bool
    reset: ResetView | None
    price: PriceView | None
    expires_at: int | None


class Balance(msgspec.Struct, kw_only=True):
    """What is left of a feature, for a customer or an entity."""

    feature_id: str
    feature: Json | UnsetType = UNSET
    granted: Number
    remaining: Number
    usage: Number
    unlimited: bool
    overage_allowed: bool
    max_purchase: Number | None
    next_reset_at: int | None
    breakdown: list[Breakdown]


class FlagView(msgspec.Struct, kw_only=True):
    """A boolean feature that is on."""

    id: str
    plan_id: str | None
    expires_at: int | None
    feature_id: str
    feature: Json | UnsetType = UNSET


class CheckResponse(msgspec.Struct, kw_only=True):
    """The verdict; a denial is a 200 too."""

    allowed: bool
    customer_id: str
    entity_id: str | UnsetType = UNSET
    required_balance: Number
    balance: Balance | None
    flag: FlagView | None


class DeductionView(msgspec.Struct, kw_only=True):
    """Units one balance gave (positive) or got back (negative)."""

    balance_id: str
    feature_id: str
    plan_id: str | None
    reset: ResetView | None
    value: Number


class TrackResponse(msgspec.Struct, kw_only=True):
    """What was asked for, what is left, and which balances moved."""

    customer_id: str
    entity_id: str | UnsetType = UNSET
    event_name: str | UnsetType = UNSET
    value: Number
    balance: Balance | None
    balances: dict[str, Balance | None] | UnsetType = UNSET
    deductions: list[DeductionView]
