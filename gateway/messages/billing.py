"""``billing.*`` (cold-path sections 3.1, 3.2, 3.9 and 3.11). Nothing is charged: ``payment_url`` is
always null and no answer has an invoice.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.common import NOT_SENT, Anything, Integer, Json, JsonObject, Number, choice
from gateway.messages.plans import (
    ITEMS_MAX,
    BasePriceRequest,
    BillingMethod,
    FreeTrialRequest,
    PlanItemRequest,
    ResetInterval,
)
from gateway.messages.subjects import CustomerData, EntityData

SCHEDULES = ("immediate", "end_of_cycle")
CANCEL_ACTIONS = ("cancel_immediately", "cancel_end_of_cycle", "uncancel")
INTENTS = ("update_plan", "update_quantity", *CANCEL_ACTIONS, "none")
UNPRORATED = "none"
PRORATIONS = ("prorate_immediately", UNPRORATED)


class FeatureQuantity(msgspec.Struct, kw_only=True):
    """How many units of a prepaid feature are bought; the included part counts."""

    feature_id: str
    quantity: Number


class CarryOver(msgspec.Struct, kw_only=True):
    """What of the plan before moves on to the new one; all features unless some are named."""

    enabled: bool
    feature_ids: list[str] | None = None


class ItemSelector(msgspec.Struct, kw_only=True):
    """Items of a plan: those for which all holds that is given. ``interval`` and its count are
    those of the reset or of the price.
    """

    feature_id: str | None = None
    billing_method: BillingMethod | None = None
    interval: ResetInterval | None = None
    interval_count: Integer | None = None
    included: Number = NOT_SENT


class Customize(msgspec.Struct, kw_only=True):
    """What one customer has instead of what the plan says. ``items`` replaces all of them; with the
    other two some are taken out and others added. A null ``price`` or ``free_trial`` removes it.
    """

    price: BasePriceRequest | UnsetType | None = UNSET
    items: Annotated[list[PlanItemRequest], Meta(max_length=ITEMS_MAX)] | None = None
    add_items: Annotated[list[PlanItemRequest], Meta(max_length=ITEMS_MAX)] | None = None
    remove_items: Annotated[list[ItemSelector], Meta(max_length=ITEMS_MAX)] | None = None
    free_trial: FreeTrialRequest | UnsetType | None = UNSET
    billing_controls: JsonObject | None = None
    upsert_licenses: Anything = NOT_SENT
    remove_licenses: Anything = NOT_SENT


class _Charging(msgspec.Struct, kw_only=True):
    """What every change of plans has in common; those of type anything need a payment provider and
    are refused. ``free_trial`` is short for that of ``customize``, which takes precedence.
    """

    customer_id: str
    entity_id: str | None = None
    billing_cycle_anchor: Annotated[
        msgspec.Raw,
        Meta(
            extra_json_schema={"anyOf": [{"type": "string", "enum": ["now"]}, {"type": "number"}]}
        ),
    ] = NOT_SENT
    proration_behavior: Annotated[str, choice(PRORATIONS)] | None = None
    no_billing_changes: bool | None = None
    redirect_mode: str | None = None
    success_url: str | None = None
    enable_plan_immediately: bool | None = None
    metadata: JsonObject | None = None
    free_trial: FreeTrialRequest | UnsetType | None = UNSET
    invoice_mode: Anything = NOT_SENT
    discounts: Anything = NOT_SENT
    checkout_session_params: Anything = NOT_SENT
    long_lived_checkout: Anything = NOT_SENT
    custom_line_items: Anything = NOT_SENT
    add_lines: Anything = NOT_SENT
    remove_lines: Anything = NOT_SENT
    remove_discounts: Anything = NOT_SENT
    tax: Anything = NOT_SENT
    new_billing_subscription: Anything = NOT_SENT
    processor_subscription_id: Anything = NOT_SENT
    tax_rate_id: Anything = NOT_SENT
    currency: Anything = NOT_SENT


class _Billing(_Charging, kw_only=True):
    """What attaching and updating one plan have in common."""

    version: Integer | None = None
    feature_quantities: list[FeatureQuantity] | None = None
    customize: Customize | None = None
    subscription_id: str | None = None
    carry_over_usages: CarryOver | None = None
    license_quantities: Anything = NOT_SENT

    @property
    def trial(self) -> FreeTrialRequest | UnsetType | None:
        """The trial it brings along, null for none; not set for that of the plan."""
        own = UNSET if self.customize is None else self.customize.free_trial
        return self.free_trial if own is UNSET else own


class AttachRequest(_Billing, kw_only=True):
    """Attach a plan to a customer or to one of its entities, without payment: at once, or at the
    end of the cycle where it is a step down.
    """

    plan_id: str
    plan_schedule: Annotated[str, choice(SCHEDULES)] | None = None
    starts_at: Integer | None = None
    ends_at: Integer | None = None
    carry_over_balances: CarryOver | None = None
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None
    remove_plan_ids: list[str] | None = None


class PlanToAttach(msgspec.Struct, kw_only=True):
    """One of several plans that are attached together. ``entity_id`` is that of the request unless
    it says otherwise; null is the customer.
    """

    plan_id: str
    version: Integer | None = None
    feature_quantities: list[FeatureQuantity] | None = None
    customize: Customize | None = None
    subscription_id: str | None = None
    entity_id: str | UnsetType | None = UNSET
    license_quantities: Anything = NOT_SENT


class MultiAttachRequest(_Charging, kw_only=True):
    """Attach several plans to a customer or to one of its entities in one step, without payment:
    all of them at once, or all of them at ``starts_at``.
    """

    plans: Annotated[list[PlanToAttach], Meta(min_length=1)]
    starts_at: Integer | None = None
    billing_behavior: Annotated[str, choice(PRORATIONS)] | None = None
    """What published clients call ``proration_behavior`` here."""
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None

    def each(self) -> list[AttachRequest]:
        """Return what is asked of each plan, as if it was attached alone."""
        return [
            AttachRequest(
                customer_id=self.customer_id,
                entity_id=self.entity_id,
                plan_id=one.plan_id,
                version=one.version,
                feature_quantities=one.feature_quantities,
                customize=one.customize,
                subscription_id=one.subscription_id,
                plan_schedule=SCHEDULES[0],
                starts_at=self.starts_at,
                billing_cycle_anchor=self.billing_cycle_anchor,
                proration_behavior=self.proration_behavior,
                no_billing_changes=self.no_billing_changes,
                free_trial=self.free_trial,
                customer_data=self.customer_data,
                entity_data=self.entity_data,
            )
            for one in self.plans
        ]


class SubscriptionUpdateRequest(_Billing, kw_only=True):
    """Change, cancel or take back the cancel of a plan that is held. Without a plan or a
    subscription the main one is meant.
    """

    plan_id: str | None = None
    cancel_action: Annotated[str, choice(CANCEL_ACTIONS)] | None = None
    refund_last_payment: Anything = NOT_SENT
    recalculate_balances: Anything = NOT_SENT
    subscription_params: Anything = NOT_SENT


class AttachResponse(msgspec.Struct, kw_only=True):
    """It is done, or scheduled; there is nothing to pay."""

    customer_id: str
    entity_id: str | UnsetType = UNSET
    payment_url: str | None = None


class PreviewPlan(msgspec.Struct, kw_only=True):
    """A plan that comes or goes. ``effective_at`` is when, null for at once."""

    plan_id: str
    plan: Json | UnsetType = UNSET
    feature_quantities: list[FeatureQuantity]
    effective_at: int | None
    canceled_at: int | None
    expires_at: int | None


class Period(msgspec.Struct, kw_only=True):
    """A part of a billing cycle."""

    start: int
    end: int


class PreviewLine(msgspec.Struct, kw_only=True):
    """What a plan costs for a part of its cycle; negative for what is not used of the one before.
    Nothing of it is charged.
    """

    display_name: str
    description: str
    subtotal: Number
    total: Number
    discounts: list[JsonObject] = []
    plan_id: str
    feature_id: str | None
    period: Period | UnsetType = UNSET
    quantity: Number


class UsageLine(msgspec.Struct, kw_only=True):
    """A feature whose use in a period is paid for at its end; how much that is, is not known."""

    display_name: str
    plan_id: str
    feature_id: str
    period: Period


class NextCycle(msgspec.Struct, kw_only=True):
    """What the plans that are held then cost in the cycle after this one, and of which features the
    use until then is paid for with it.
    """

    starts_at: int
    subtotal: Number
    total: Number
    line_items: list[PreviewLine]
    usage_line_items: list[UsageLine]


class _Preview(msgspec.Struct, kw_only=True):
    """What a change would do, and what the prices of the plans come to. Nothing is charged."""

    customer_id: str
    line_items: list[PreviewLine]
    subtotal: Number
    total: Number
    currency: str
    next_cycle: NextCycle | UnsetType = UNSET
    incoming: list[PreviewPlan]
    outgoing: list[PreviewPlan]


class AttachPreview(_Preview, kw_only=True):
    """What attaching a plan would do."""

    redirect_to_checkout: bool = False
    checkout_type: str | None = None


class UpdatePreview(_Preview, kw_only=True):
    """What an update would do; ``intent`` says what kind of change it is."""

    intent: Annotated[str, choice(INTENTS)]
