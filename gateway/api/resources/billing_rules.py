"""What the bodies of ``billing.*`` and of plan changes must look like. What needs a payment
provider is refused by name, never passed over.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from gateway.amounts import parse_decimal
from gateway.api.operation import Call
from gateway.api.resources import shapes
from gateway.api.resources.rules import VERSION_MAX, plan_items, subject_data
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.lifecycle.plan_items import COUNT_MAX
from gateway.messages import billing as wire
from gateway.messages.common import ID_MAX, given, one_of, whole
from gateway.messages.plan_changes import PlanDeleteRequest, PlanUpdateRequest
from gateway.messages.plans import BILLING_METHODS

UNPAID = (
    "invoice_mode",
    "discounts",
    "license_quantities",
    "checkout_session_params",
    "long_lived_checkout",
    "custom_line_items",
    "add_lines",
    "remove_lines",
    "remove_discounts",
    "tax",
    "new_billing_subscription",
    "processor_subscription_id",
    "tax_rate_id",
    "currency",
    "refund_last_payment",
    "recalculate_balances",
    "subscription_params",
)
"""Parameters of a payment provider, and others that would change what happens; refused rather than
ignored.
"""

TIME_MAX = 7_258_118_400_000
"""The last millisecond a caller may name, at the end of the year 2199; cycles are counted on from
it.
"""

_OF_PROVIDERS = ("upsert_licenses", "remove_licenses")
"""What ``customize`` may not say."""

_CHANGES = (
    "feature_quantities",
    "version",
    "customize",
    "cancel_action",
    "carry_over_usages",
    "proration_behavior",
    "no_billing_changes",
)
_NOW = b'"now"'
_NOT_WITH_CANCEL = ("feature_quantities", "version", "customize", "carry_over_usages")


_Request = wire.AttachRequest | wire.SubscriptionUpdateRequest | wire.MultiAttachRequest


def attach(_: Call, request: wire.AttachRequest) -> None:
    """``billing.attach`` and ``billing.preview_attach``."""
    _billing(request)
    shapes.plan_id(request.plan_id)
    one_of(request.plan_schedule, wire.SCHEDULES, "plan_schedule")
    request.starts_at = whole(request.starts_at, "starts_at", 0, TIME_MAX)
    request.ends_at = whole(request.ends_at, "ends_at", 0, TIME_MAX)
    _carry_over(request.carry_over_balances, "carry_over_balances")
    shapes.length(request.remove_plan_ids, "remove_plan_ids")
    for index, plan_id in enumerate(request.remove_plan_ids or ()):
        shapes.plan_id(plan_id, f"remove_plan_ids.{index}")
    subject_data(request.customer_data, request.entity_data, request.entity_id)


def multi_attach(call: Call, request: wire.MultiAttachRequest) -> None:
    """``billing.multi_attach`` and ``billing.preview_multi_attach``. Leaves the one entity that all
    plans are for in the request.
    """
    if request.billing_behavior is not None:
        if request.proration_behavior is not None:
            raise InvalidInputsError("billing_behavior: excludes proration_behavior")
        call.sent_as = {**call.sent_as, "proration_behavior": "billing_behavior"}
        request.proration_behavior = request.billing_behavior
    _charging(request)
    request.starts_at = whole(request.starts_at, "starts_at", 0, TIME_MAX)
    shapes.length(request.plans, "plans")
    known: set[str] = set()
    for index, plan in enumerate(request.plans):
        prefix = f"plans.{index}."
        shapes.plan_id(plan.plan_id, f"{prefix}plan_id")
        _terms(plan, prefix)
        if plan.subscription_id is not None:
            if plan.subscription_id in known:
                raise InvalidInputsError(f"{prefix}subscription_id: is given twice")
            known.add(plan.subscription_id)
    _one_scope(request)
    subject_data(request.customer_data, request.entity_data, request.entity_id)


def _one_scope(request: wire.MultiAttachRequest) -> None:
    entities = [
        request.entity_id if plan.entity_id is msgspec.UNSET else plan.entity_id
        for plan in request.plans
    ]
    for index, entity_id in enumerate(entities):
        field = f"plans.{index}.entity_id"
        shapes.text_id(entity_id, field)
        if entity_id != entities[0]:
            raise NotSupportedError(
                f"{field}: all plans must be for the customer or for one entity; attach those of "
                "others by themselves"
            )
    request.entity_id = entities[0]


def update(_: Call, request: wire.SubscriptionUpdateRequest) -> None:
    """``billing.update`` and ``billing.preview_update``."""
    _billing(request)
    shapes.plan_id(request.plan_id)
    if request.trial:
        own = request.customize is not None and request.customize.free_trial
        raise NotSupportedError(
            f"{'customize.' if own else ''}free_trial: a plan that is held begins no trial; null "
            "ends the one it is in"
        )
    is_moved = given(request.billing_cycle_anchor)
    is_asked = is_moved or request.free_trial is not UNSET
    if not is_asked and all(getattr(request, name) is None for name in _CHANGES):
        named = ", ".join((*_CHANGES, "billing_cycle_anchor"))
        raise InvalidInputsError(f"input: at least one of {named} is required")
    if request.cancel_action is not None:
        one_of(request.cancel_action, wire.CANCEL_ACTIONS, "cancel_action")
        for name in _NOT_WITH_CANCEL:
            if getattr(request, name) is not None:
                raise InvalidInputsError(f"cancel_action: excludes {name}")
        if request.free_trial is not UNSET:
            raise InvalidInputsError("cancel_action: excludes free_trial")
        if is_moved and bytes(request.billing_cycle_anchor) != _NOW:  # which a client always sends
            raise InvalidInputsError(
                'cancel_action: excludes a billing_cycle_anchor other than "now"'
            )
    revises = request.customize is not None or request.version is not None
    if request.carry_over_usages is not None and not (revises or is_moved):
        raise InvalidInputsError(
            "carry_over_usages: needs version, customize or billing_cycle_anchor"
        )


def plan_update(_: Call, request: PlanUpdateRequest) -> None:
    """``plans.update``."""
    shapes.plan_id(request.plan_id)
    shapes.plan_id(request.new_plan_id, "new_plan_id")
    shapes.name(request.name, "name", least=1)
    if isinstance(request.description, str):
        shapes.name(request.description, "description")
    shapes.name(request.group, "group", most=ID_MAX)
    if not request.group and request.archived is not None and request.create_in_stripe is None:
        request.group = None  # Clients of 2.1 and 2.2 send an empty one with every update.
    request.version = whole(request.version, "version", 1, VERSION_MAX)
    shapes.length(request.update_variant_ids, "update_variant_ids")
    plan_items(request.items or (), "items")
    shapes.documents(metadata=request.metadata, billing_controls=request.billing_controls)


def plan_delete(_: Call, request: PlanDeleteRequest) -> None:
    """``plans.delete``."""
    shapes.plan_id(request.plan_id)


def _billing(request: wire.AttachRequest | wire.SubscriptionUpdateRequest) -> None:
    _charging(request)
    _terms(request)
    _carry_over(request.carry_over_usages, "carry_over_usages")


def _charging(request: _Request) -> None:
    shapes.customer_id(request.customer_id)
    shapes.text_ids(entity_id=request.entity_id)
    _unpaid(request)
    one_of(request.proration_behavior, wire.PRORATIONS, "proration_behavior")
    _anchor(request)


def _terms(
    plan: wire.AttachRequest | wire.SubscriptionUpdateRequest | wire.PlanToAttach, prefix: str = ""
) -> None:
    """What is asked of one plan; ``prefix`` is where it stands."""
    shapes.text_id(plan.subscription_id, f"{prefix}subscription_id")
    plan.version = whole(plan.version, f"{prefix}version", 1, VERSION_MAX)
    _unpaid(plan, prefix)
    listed = f"{prefix}feature_quantities"
    shapes.length(plan.feature_quantities, listed)
    for index, quantity in enumerate(plan.feature_quantities or ()):
        shapes.text_id(quantity.feature_id, f"{listed}.{index}.feature_id")
        field = f"{listed}.{index}.quantity"
        shapes.number(quantity.quantity, field, required=True)
        if parse_decimal(bytes(quantity.quantity), field=field) < 0:
            raise InvalidInputsError(f"{field}: must not be negative")
    if plan.customize is not None:
        _customize(plan.customize, f"{prefix}customize")


def _unpaid(fields: msgspec.Struct, prefix: str = "") -> None:
    shapes.refuse_given(
        fields, UNPAID, "is not supported; plans change without a payment provider", prefix
    )


def _anchor(request: _Request) -> None:
    raw = request.billing_cycle_anchor
    if given(raw) and bytes(raw) != _NOW:
        if bytes(raw)[:1] not in b"0123456789":
            raise InvalidInputsError('billing_cycle_anchor: must be "now" or Unix milliseconds')
        anchor_ms = parse_decimal(bytes(raw), field="billing_cycle_anchor")
        if not 0 <= anchor_ms <= TIME_MAX:
            raise InvalidInputsError(f"billing_cycle_anchor: must be 0 to {TIME_MAX}")
        if anchor_ms % 1:
            raise InvalidInputsError("billing_cycle_anchor: must be an integer")


def _carry_over(carry: wire.CarryOver | None, field: str) -> None:
    if carry is not None:
        shapes.length(carry.feature_ids, f"{field}.feature_ids")
        for index, feature_id in enumerate(carry.feature_ids or ()):
            shapes.text_id(feature_id, f"{field}.feature_ids.{index}")


def _customize(customize: wire.Customize, field: str) -> None:
    shapes.refuse_given(customize, _OF_PROVIDERS, "is not supported", f"{field}.")
    patched = customize.add_items is not None or customize.remove_items is not None
    if customize.items is not None and patched:
        raise InvalidInputsError(f"{field}.items: excludes add_items and remove_items")
    plan_items(customize.items or (), f"{field}.items")
    plan_items(customize.add_items or (), f"{field}.add_items")
    for index, item in enumerate(customize.remove_items or ()):
        _selector(item, f"{field}.remove_items.{index}")
    shapes.documents(**{f"{field}.billing_controls": customize.billing_controls})


def _selector(item: wire.ItemSelector, field: str) -> None:
    chosen = (item.feature_id, item.billing_method, item.interval, item.interval_count)
    if not given(item.included) and all(one is None for one in chosen):
        raise InvalidInputsError(f"{field}: must say which items")
    shapes.text_id(item.feature_id, f"{field}.feature_id")
    one_of(item.billing_method, BILLING_METHODS, f"{field}.billing_method")
    item.interval_count = whole(item.interval_count, f"{field}.interval_count", 1, COUNT_MAX)
    shapes.number(item.included, f"{field}.included")
