"""``plans.*``: requests, the plan as it is answered, and ``PlanDocument``, the plan as stored.

A stored amount is a decimal text, so that reading a plan back gives what was sent, digit for digit.
Prices are kept and echoed; nothing is charged.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.balances import PriceView
from gateway.messages.common import NOT_SENT, Anything, Integer, JsonObject, Number, choice
from gateway.messages.pages import Listed

BILLING_INTERVALS = ("one_off", "week", "month", "quarter", "semi_annual", "year")
RESET_INTERVALS = ("one_off", "minute", "hour", "day", *BILLING_INTERVALS[1:])
TRIAL_UNITS = ("day", "month", "year")
TRIAL_ENDS = ("bill", "revert")
BILLING_METHODS = ("prepaid", "usage_based")
TIER_BEHAVIORS = ("graduated", "volume")
ROLLOVER_UNITS = ("month", "forever")
ON_INCREASE = ("bill_immediately", "prorate_immediately", "prorate_next_cycle", "bill_next_cycle")
IN_NEXT_CYCLE = ON_INCREASE[2:]
"""Increases that are paid for with the next cycle: the rest of this one then, or not at all."""
ON_DECREASE = ("prorate", "prorate_immediately", "prorate_next_cycle", "none", "no_prorations")

ATTACH_ACTIONS = ("activate", "upgrade", "downgrade", "none", "purchase")

ITEMS_MAX = 200
"""Items of a plan; attaching it writes a row for each in one script."""

TIERS_MAX = 100
"""Tiers of a price."""


BillingInterval = Annotated[str, choice(BILLING_INTERVALS)]
ResetInterval = Annotated[str, choice(RESET_INTERVALS)]
TrialUnit = Annotated[str, choice(TRIAL_UNITS)]
TrialEnd = Annotated[str, choice(TRIAL_ENDS)]
BillingMethod = Annotated[str, choice(BILLING_METHODS)]
TierBehavior = Annotated[str, choice(TIER_BEHAVIORS)]
RolloverUnit = Annotated[str, choice(ROLLOVER_UNITS)]
NumberOrInf = Annotated[
    msgspec.Raw,
    Meta(extra_json_schema={"anyOf": [{"type": "number"}, {"type": "string", "enum": ["inf"]}]}),
]


class TierRequest(msgspec.Struct, kw_only=True):
    """A price for the units up to ``to``, the included ones counted; ``inf`` is without end."""

    to: NumberOrInf
    amount: Number = NOT_SENT
    flat_amount: Number = NOT_SENT


class ItemPriceRequest(msgspec.Struct, kw_only=True):
    """What units beyond the included ones cost; exactly one of ``amount`` and ``tiers``."""

    amount: Number = NOT_SENT
    tiers: Annotated[list[TierRequest], Meta(max_length=TIERS_MAX)] | None = None
    tier_behavior: TierBehavior | None = None
    interval: BillingInterval
    interval_count: Integer | None = None
    billing_units: Number = NOT_SENT
    billing_method: BillingMethod
    max_purchase: Number = NOT_SENT


class ItemResetRequest(msgspec.Struct, kw_only=True):
    """How often the included units start anew."""

    interval: ResetInterval
    interval_count: Integer | None = None


class ProrationRequest(msgspec.Struct, kw_only=True):
    """When another quantity is paid for, and a smaller one counts; never echoed."""

    on_increase: Annotated[str, choice(ON_INCREASE)] | None = None
    on_decrease: Annotated[str, choice(ON_DECREASE)] | None = None


class RolloverRequest(msgspec.Struct, kw_only=True):
    """How much of what is left at a reset is carried over, and for how long. Plan items name the
    time ``expiry_duration_type`` and ``_length``, balances ``duration`` and ``length``; both are
    understood everywhere.
    """

    max: Number = NOT_SENT
    max_percentage: Number = NOT_SENT
    expiry_duration_type: RolloverUnit | None = None
    expiry_duration_length: Integer | None = None
    duration: RolloverUnit | None = None
    length: Integer | None = None


class PlanItemRequest(msgspec.Struct, kw_only=True):
    """What the plan gives of one feature, or gives each entity of ``entity_feature_id``. What may
    be anything is refused.
    """

    feature_id: str
    included: Number = NOT_SENT
    unlimited: bool | None = None
    pooled: bool | None = None
    reset: ItemResetRequest | None = None
    price: ItemPriceRequest | None = None
    proration: ProrationRequest | None = None
    rollover: RolloverRequest | None = None
    entity_feature_id: str | None = None
    expiry: Anything = NOT_SENT
    feature_override: Anything = NOT_SENT
    threshold_billing: Anything = NOT_SENT


class BasePriceRequest(msgspec.Struct, kw_only=True):
    """The fixed price of the plan."""

    amount: Number
    interval: BillingInterval
    interval_count: Integer | None = None


class FreeTrialRequest(msgspec.Struct, kw_only=True):
    """How long the plan is free at first."""

    duration_length: Integer
    duration_type: TrialUnit | None = None
    card_required: bool | None = None
    on_end: TrialEnd | None = None


class PlanConfig(msgspec.Struct, kw_only=True):
    """Switches of the plan."""

    ignore_past_due: bool = False


class PlanConfigRequest(PlanConfig, kw_only=True):
    """The same as it is sent."""

    anchor_to_month_start: bool | None = None


class PlanCreateRequest(msgspec.Struct, kw_only=True):
    """Define a plan."""

    plan_id: str
    name: str
    description: str | None = None
    group: str | None = None
    add_on: bool | None = None
    auto_enable: bool | None = None
    price: BasePriceRequest | None = None
    items: Annotated[list[PlanItemRequest], Meta(max_length=ITEMS_MAX)] | None = None
    free_trial: FreeTrialRequest | None = None
    config: PlanConfigRequest | None = None
    billing_controls: JsonObject | None = None
    metadata: JsonObject | None = None
    licenses: list[JsonObject] | None = None
    create_in_stripe: bool | None = None


class PlanGetRequest(msgspec.Struct, kw_only=True):
    """Name a plan, and a version of it unless the latest is meant."""

    plan_id: str
    version: Integer | None = None


class PlanListRequest(msgspec.Struct, kw_only=True):
    """List plans; archived ones only when asked for."""

    customer_id: str | None = None
    entity_id: str | None = None
    include_archived: bool | None = None
    all_versions: bool | None = None


class ResetRule(msgspec.Struct, kw_only=True):
    """How often units start anew; the count is left out when it is 1."""

    interval: ResetInterval
    interval_count: int | UnsetType = UNSET


class ItemPriceView(PriceView, kw_only=True):
    """What units beyond the included ones cost."""

    interval: BillingInterval
    interval_count: int | UnsetType = UNSET


class RolloverView(msgspec.Struct, kw_only=True):
    """What is carried over at a reset."""

    max: Number | None
    max_percentage: Number | UnsetType = UNSET
    expiry_duration_type: RolloverUnit
    expiry_duration_length: int | UnsetType = UNSET


class PlanItemView(msgspec.Struct, kw_only=True):
    """What the plan gives of one feature."""

    feature_id: str
    included: Number
    unlimited: bool
    pooled: bool = False
    reset: ResetRule | None
    price: ItemPriceView | None
    rollover: RolloverView | UnsetType = UNSET
    entity_feature_id: str | UnsetType = UNSET


class BasePriceView(msgspec.Struct, kw_only=True):
    """The fixed price of the plan."""

    amount: Number
    interval: BillingInterval
    interval_count: int | UnsetType = UNSET


class FreeTrial(msgspec.Struct, kw_only=True):
    """How long the plan is free at first; stored and answered alike."""

    duration_length: int
    duration_type: TrialUnit = "month"
    card_required: bool = True
    on_end: TrialEnd = "bill"


class Eligibility(msgspec.Struct, kw_only=True):
    """What attaching the plan would be for a customer."""

    attach_action: Annotated[str, choice(ATTACH_ACTIONS)]
    status: str | UnsetType = UNSET
    canceling: bool
    trialing: bool = False
    trial_available: bool = False


class PlanView(msgspec.Struct, kw_only=True):
    """A plan; ``customer_eligibility`` when a customer was named."""

    id: str
    name: str
    description: str | None
    group: str | None
    version: int
    add_on: bool
    auto_enable: bool
    price: BasePriceView | None
    items: list[PlanItemView]
    free_trial: FreeTrial | UnsetType = UNSET
    created_at: int
    env: str
    archived: bool
    base_variant_id: str | None = None
    config: PlanConfig
    billing_controls: JsonObject
    metadata: JsonObject
    customer_eligibility: Eligibility | UnsetType = UNSET


class PlanListResponse(Listed[PlanView], kw_only=True):
    """Plans, oldest first."""


class Tier(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stored tier: decimal texts, ``to`` as it was sent (included units counted) or ``inf``."""

    to: str
    amount: str = "0"
    flat_amount: str | None = None


class ItemPrice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stored item price; exactly one of ``amount`` and ``tiers`` is set."""

    interval: str
    billing_method: str
    amount: str | None = None
    tiers: list[Tier] = []
    tier_behavior: str | None = None
    interval_count: int = 1
    billing_units: str = "1"
    max_purchase: str | None = None
    """Overage that may be bought beyond the included units; None is without end."""

    @property
    def prepaid(self) -> bool:
        """Whether units are bought in packs beforehand."""
        return self.billing_method == "prepaid"


class Rollover(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stored rollover rule."""

    max: str | None = None
    max_percentage: str | None = None
    expiry_duration_type: str = "month"
    expiry_duration_length: int = 1


class BasePrice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The stored fixed price."""

    amount: str
    interval: str
    interval_count: int = 1


class PlanItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stored item: what ``billing.attach`` turns into balance rows."""

    feature_id: str
    included: str = "0"
    unlimited: bool = False
    pooled: bool = False
    """Whether it is the customer's when the plan is one of an entity."""
    reset_interval: str = "never"
    """One of ``RESET_INTERVALS``, resolved, or ``never`` for a feature that is not consumable."""
    reset_interval_count: int = 1
    entity_feature_id: str | None = None
    price: ItemPrice | None = None
    rollover: Rollover | None = None
    on_increase: str | None = None
    """One of ``IN_NEXT_CYCLE``, or None: more units are paid for at once."""
    on_decrease: str | None = None
    """One of ``ON_DECREASE``: it decides when a smaller quantity counts."""

    @property
    def prepaid(self) -> ItemPrice | None:
        """The price of units that are bought in packs beforehand; None where none are."""
        price = self.price
        return price if price is not None and price.prepaid else None

    @property
    def paid_by_use(self) -> ItemPrice | None:
        """The price of units that are paid for once they are used; None where none are."""
        price = self.price
        return None if price is None or price.prepaid else price


class PlanDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What ``PlanRecord.document`` holds as JSON."""

    name: str
    description: str | None = None
    group: str = ""
    add_on: bool = False
    auto_enable: bool = False
    price: BasePrice | None = None
    items: list[PlanItem] = []
    free_trial: FreeTrial | None = None
    config: PlanConfig = msgspec.field(default_factory=PlanConfig)
    metadata: JsonObject = {}
    billing_controls: JsonObject = {}

    @property
    def prepaid_items(self) -> dict[str, PlanItem]:
        """The items of which units are bought beforehand, by feature."""
        return {item.feature_id: item for item in self.items if item.prepaid}


_decoder = msgspec.json.Decoder(PlanDocument)


def decode_plan_document(text: str) -> PlanDocument:
    """Return the document of a plan record."""
    return _decoder.decode(text)


def encode_plan_document(document: PlanDocument) -> str:
    """Return the text of a plan document."""
    return msgspec.json.encode(document).decode()


def raw(text: str) -> msgspec.Raw:
    """Return a decimal text as the JSON number it is."""
    return msgspec.Raw(text.encode())
