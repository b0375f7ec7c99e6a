"""``billing.*``: giving a plan to a customer or an entity, changing it, and taking it away."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Operation, always, asking
from gateway.api.resources import billing_rules as rules
from gateway.messages.billing import (
    AttachPreview,
    AttachRequest,
    AttachResponse,
    MultiAttachRequest,
    SubscriptionUpdateRequest,
    UpdatePreview,
)

_EITHER = (
    errors.CustomerNotFoundError,
    errors.EntityNotFoundError,
    errors.PlanNotFoundError,
    errors.FeatureNotFoundError,
    errors.InvalidItemError,
    errors.InvalidPriceError,
    errors.InvalidRequestError,
    errors.NotSupportedError,
)
_MULTI_ATTACH = (*_EITHER, errors.SubscriptionExistsError, errors.FeatureLimitError)
_ATTACH = (*_MULTI_ATTACH, errors.PlanAttachedError)
_UPDATE = (*_EITHER, errors.SubscriptionNotFoundError, errors.InvalidOptionsError)

OPERATIONS = (
    Operation(
        name="billing.attach",
        summary="Attach a plan",
        description=(
            "Gives a plan to a customer or, with `entity_id`, to one entity, without payment. A "
            "main plan takes the place of the one of the same group: a step up at once, a step "
            "down at the end of the billing cycle, unless `plan_schedule` or `starts_at` says "
            "otherwise. An add-on or a one-off plan is added. What `remove_plan_ids` names ends in "
            "the same step. Usage of non-consumable features "
            "carries over, that of others with `carry_over_usages` or `carry_over_balances`. A "
            "plan with a `free_trial` begins with it, unless the customer or the entity has had "
            "it; a `free_trial` of the request begins in any case, and a null one leaves it out. "
            "`billing_cycle_anchor` says where cycles are counted from; `now` is left out where "
            "the plan begins later, with its trial, or has no cycles."
        ),
        request=AttachRequest,
        response=AttachResponse,
        handle=asking(lambda engine, call, request: engine.attach(call.env, request)),
        rule=rules.attach,
        errors=_ATTACH,
    ),
    Operation(
        name="billing.preview_attach",
        summary="Preview an attach",
        description=(
            "Says which plans would come and go, and what their prices come to for the rest of "
            "the cycle. Nothing is changed, and nothing is ever charged."
        ),
        request=AttachRequest,
        response=AttachPreview,
        handle=asking(lambda engine, call, request: engine.preview_attach(call.env, request)),
        rule=rules.attach,
        errors=_ATTACH,
        reads=always,
    ),
    Operation(
        name="billing.multi_attach",
        summary="Attach several plans",
        description=(
            "Gives several plans to a customer or to one entity in one step, all of them or none, "
            "without payment. They begin at once, a step down too, unless `starts_at` says "
            "otherwise. A plan that is held, and two main plans of one group, are refused."
        ),
        request=MultiAttachRequest,
        response=AttachResponse,
        handle=asking(lambda engine, call, request: engine.multi_attach(call.env, request)),
        rule=rules.multi_attach,
        errors=_MULTI_ATTACH,
    ),
    Operation(
        name="billing.preview_multi_attach",
        summary="Preview an attach of several plans",
        description=(
            "Says what `billing.multi_attach` would do, and what the prices come to for the rest "
            "of the cycle. Nothing is changed, and nothing is ever charged."
        ),
        request=MultiAttachRequest,
        response=AttachPreview,
        handle=asking(lambda engine, call, request: engine.preview_multi_attach(call.env, request)),
        rule=rules.multi_attach,
        errors=_MULTI_ATTACH,
        reads=always,
    ),
    Operation(
        name="billing.update",
        summary="Change a plan that is held",
        description=(
            "Cancels a plan at once or at the end of its cycle, takes that back, changes the "
            "quantity of what is prepaid, moves it to another version or gives it items of its "
            "own. What was used stays used. When a main plan of the customer ends, the free plan "
            "of its group that enables itself comes back. `billing_cycle_anchor` `now` begins a "
            "new cycle: alone it resets the plan's balances, beside another change only moves "
            "their resets, and beside `cancel_action`, or a change of a plan without cycles or in "
            "its trial, it is left out. Milliseconds say when the cycle ends."
        ),
        request=SubscriptionUpdateRequest,
        response=AttachResponse,
        handle=asking(lambda engine, call, request: engine.update_subscription(call.env, request)),
        rule=rules.update,
        errors=_UPDATE,
    ),
    Operation(
        name="billing.preview_update",
        summary="Preview an update",
        description=(
            "Says what `billing.update` would do, and what the prices come to for the rest of the "
            "cycle. Nothing is changed, and nothing is ever charged."
        ),
        request=SubscriptionUpdateRequest,
        response=UpdatePreview,
        handle=asking(lambda engine, call, request: engine.preview_update(call.env, request)),
        rule=rules.update,
        errors=_UPDATE,
        reads=always,
    ),
)
