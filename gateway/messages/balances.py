"""``balances.check``, ``balances.track`` and the balance objects (hot-path sections 1.1 and
1.2).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from gateway.messages.common import NOT_SENT, Integer, Json, Number
from gateway.messages.subjects import CustomerData, EntityData


class LockRequest(msgspec.Struct, kw_only=True):
    """A hold on units until they are confirmed or released; 24 hours if nothing else is said."""

    lock_id: str
    enabled: bool = True
    expires_at: Integer | None = None


class CheckLockRequest(LockRequest, kw_only=True):
    """A hold of a check. What there is not enough for is refused unless ``overage_behavior`` is
    ``cap``, which holds what there is, or ``overflow``, which holds all of it.
    """

    overage_behavior: str | None = None


class CheckRequest(msgspec.Struct, kw_only=True):
    """May this customer (or entity) use ``required_balance`` units of the feature?"""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    required_balance: Number = NOT_SENT
    properties: Json = NOT_SENT
    send_event: bool | None = None
    with_preview: bool | None = None
    lock: CheckLockRequest | None = None
    explain: bool | None = None
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None


class TrackRequest(msgspec.Struct, kw_only=True):
    """Record use of a feature, or of every feature that lists ``event_name``."""

    customer_id: str
    feature_id: str | None = None
    event_name: str | None = None
    entity_id: str | None = None
    value: Number = NOT_SENT
    properties: Json = NOT_SENT
    timestamp: Integer | None = None
    overage_behavior: str | None = None
    lock: LockRequest | None = None
    idempotency_key: str | None = None
    dry_run: bool | None = None
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


class LeftoverView(msgspec.Struct, kw_only=True):
    """Units left over from earlier periods; ``balance`` of ``granted`` are left."""

    granted: Number
    balance: Number
    expires_at: int


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
    held: Number | UnsetType = UNSET
    breakdown: list[Breakdown]
    rollovers: list[LeftoverView] | UnsetType = UNSET


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
    balances: dict[str, Balance | None] | UnsetType = UNSET
    flag: FlagView | None
    explanation: Explanation | UnsetType = UNSET
    preview: CheckPreview | UnsetType = UNSET


class CheckPreview(msgspec.Struct, kw_only=True):
    """What a page may tell somebody who was denied. ``products`` would give more of the feature, or
    of credits that pay for it, in the shape of version 1.2: steps up first, add-ons last, at most
    10. ``upgrade_product_id`` is the first of them, and left out where there is none.
    """

    scenario: str
    title: str
    message: str
    feature_id: str
    feature_name: str
    products: list[Json] = []
    upgrade_product_id: str | UnsetType = UNSET


class ExplainedSource(msgspec.Struct, kw_only=True):
    """One source the decision looked at, in spending order. ``balance_id`` is null for what all
    entities hold together; ``taken`` and ``overage`` are what the amount would take from it.
    """

    feature_id: str
    balance_id: str | None
    scope: str
    available: Number
    taken: Number
    overage: Number


class ExplainedLimit(msgspec.Struct, kw_only=True):
    """One limit that binds the call; ``left`` is null where it only permits or forbids."""

    feature_id: str
    type: str
    entity_id: str | None
    left: Number | None
    resets_at: int | None
    allowed: bool | None


class Explanation(msgspec.Struct, kw_only=True):
    """Which balances and limits decided, in order: an addition to the reference."""

    sources: list[ExplainedSource]
    limits: list[ExplainedLimit]


class FinalizeRequest(msgspec.Struct, kw_only=True):
    """End a lock. ``customer_id`` is needed only where customers share a lock id."""

    lock_id: str
    action: str
    override_value: Number = NOT_SENT
    properties: Json = NOT_SENT
    customer_id: str | None = None


class FinalizeResponse(msgspec.Struct, kw_only=True):
    """The lock has ended as asked."""

    success: bool = True


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
    deductions: list[DeductionView] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
