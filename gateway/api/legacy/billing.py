"""Products attached to a customer or an entity. What would need money is refused."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from gateway.api.legacy import product_messages as wire
from gateway.api.legacy.products import free_trial
from gateway.api.operation import Call, Services
from gateway.api.resources import billing_rules, shapes
from gateway.errors import InvalidInputsError, InvalidRequestError, NotSupportedError
from gateway.messages.billing import (
    AttachRequest,
    MultiAttachRequest,
    PlanToAttach,
    SubscriptionUpdateRequest,
)
from gateway.messages.common import given, whole
from gateway.messages.plans import FreeTrialRequest, PlanDocument
from gateway.messages.subjects import CustomerData

ATTACHED = "new_product_attached"
"""The code of an attach that is done."""


def attach_rule(call: Call, request: wire.ProductAttachRequest) -> None:
    """Refuse an attach of nothing, and one that needs a payment."""
    named = [request.product_id is not None, bool(request.product_ids), bool(request.products)]
    if sum(named) != 1:
        raise InvalidInputsError(
            "input: exactly one of product_id, product_ids and products must be provided"
        )
    for field in ("force_checkout", "invoice"):
        if getattr(request, field):
            raise NotSupportedError(f"{field}: there is no payment provider to ask")
    if given(request.reward):
        raise NotSupportedError("reward: rewards are not supported")
    for index, product in enumerate(request.products or ()):
        quantity = whole(product.quantity, f"products.{index}.quantity", 1, 1_000_000)
        if quantity not in (None, 1):
            raise NotSupportedError(f"products.{index}.quantity: a product is attached once")
    for index, attachment in enumerate(_attachments(request)):
        call.sent_as = _names_in(request, index)
        billing_rules.attach(call, attachment)


async def attach(
    services: Services, call: Call, request: wire.ProductAttachRequest
) -> wire.ProductAttached:
    """``billing.attach``, and of several products ``billing.multi_attach``."""
    if not call.restricted:
        request.customer_data = request.customer_data or CustomerData()
    wanted = _attachments(request)
    version = None if request.version is None else int(request.version)
    plans = [
        (await services.catalog.plan(call.env, one.plan_id, version)).document for one in wanted
    ]
    call.sent_as = _names_in(request, 0)
    if len(wanted) == 1:
        await services.engine.attach(call.env, wanted[0])
    else:
        await services.engine.multi_attach(call.env, _together(request, wanted, plans))
    return wire.ProductAttached(
        customer_id=request.customer_id,
        product_ids=[one.plan_id for one in wanted],
        code=ATTACHED,
        message=f"Successfully attached {', '.join(plan.name for plan in plans)}",
    )


def cancel_rule(call: Call, request: wire.CancelRequest) -> None:
    """Refuse a cancel of what cannot be the id of a product."""
    shapes.plan_id(request.product_id, "product_id")
    billing_rules.update(call, _cancellation(request))


async def cancel(
    services: Services, call: Call, request: wire.CancelRequest
) -> wire.ProductCanceled:
    """``billing.update`` with a ``cancel_action``, of which 1.2 says no more than whether it is at
    once.
    """
    try:
        await services.engine.update_subscription(call.env, _cancellation(request))
    except InvalidRequestError as error:
        reason = error.message.removeprefix("cancel_action: ")
        raise InvalidRequestError(f"cancel_immediately: {reason}") from error
    return wire.ProductCanceled(customer_id=request.customer_id, product_id=request.product_id)


def _cancellation(request: wire.CancelRequest) -> SubscriptionUpdateRequest:
    return SubscriptionUpdateRequest(
        customer_id=request.customer_id,
        plan_id=request.product_id,
        entity_id=request.entity_id,
        cancel_action="cancel_immediately" if request.cancel_immediately else "cancel_end_of_cycle",
        proration_behavior="none" if request.prorate is False else None,
    )


def _names_in(request: wire.ProductAttachRequest, index: int) -> dict[str, str]:
    """Return what the fields of an attach are called, that of one product or of several."""
    product = f"products.{index}.product_id" if request.products else f"product_ids.{index}"
    if request.product_id is not None:
        product = "product_id"
    return {
        "plan_id": product,
        "plans": "products" if request.products else "product_ids",
        "feature_quantities": "options",
        "free_trial.duration_length": "free_trial.length",
        "free_trial.duration_type": "free_trial.duration",
    }


def _attachments(request: wire.ProductAttachRequest) -> list[AttachRequest]:
    chosen = request.product_ids or [one.product_id for one in request.products or ()]
    trial: FreeTrialRequest | UnsetType | None = UNSET
    if isinstance(request.free_trial, wire.Trial):
        trial = free_trial(request.free_trial)
    elif request.free_trial is False:
        trial = None
    return [
        AttachRequest(
            customer_id=request.customer_id,
            plan_id=plan_id,
            entity_id=request.entity_id,
            version=request.version,
            feature_quantities=request.options,
            free_trial=trial,
            customer_data=request.customer_data,
            entity_data=request.entity_data,
        )
        for plan_id in ([request.product_id] if request.product_id else chosen)
    ]


def _together(
    request: wire.ProductAttachRequest, wanted: list[AttachRequest], plans: list[PlanDocument]
) -> MultiAttachRequest:
    """Return the attach of several products as one. Each gets the ``options`` it sells; what none
    of them sells is left for all to refuse.
    """
    sold = [plan.prepaid_items for plan in plans]
    return MultiAttachRequest(
        customer_id=request.customer_id,
        entity_id=request.entity_id,
        plans=[
            PlanToAttach(
                plan_id=one.plan_id,
                version=one.version,
                feature_quantities=[
                    option
                    for option in request.options or ()
                    if option.feature_id in own or not any(option.feature_id in of for of in sold)
                ],
            )
            for one, own in zip(wanted, sold, strict=True)
        ],
        free_trial=wanted[0].free_trial,
        customer_data=request.customer_data,
        entity_data=request.entity_data,
    )
