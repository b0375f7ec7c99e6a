"""``plans.*``: kept in the catalog, so these never touch Redis."""

from __future__ import annotations

from gateway import errors
from gateway.api import rules
from gateway.api.examples import EXAMPLES
from gateway.api.operation import Call, Operation, Services, always
from gateway.lifecycle.plan_rules import plan_view
from gateway.messages.plans import (
    PlanCreateRequest,
    PlanGetRequest,
    PlanListRequest,
    PlanListResponse,
    PlanView,
)


async def _create(services: Services, call: Call, request: PlanCreateRequest) -> PlanView:
    return plan_view(await services.catalog.create_plan(call.env, request))


async def _get(services: Services, call: Call, request: PlanGetRequest) -> PlanView:
    plan = await services.catalog.plan(call.env, request.plan_id)
    if request.version not in (None, plan.record.version):
        raise errors.PlanNotFoundError(f"Plan {request.plan_id} has no version {request.version}")
    return plan_view(plan)


async def _list(services: Services, call: Call, request: PlanListRequest) -> PlanListResponse:
    await services.catalog.refresh()
    plans = services.catalog.plans(call.env)
    shown = [plan for plan in plans if request.include_archived or not plan.record.archived]
    return PlanListResponse(list=[plan_view(plan) for plan in shown])


OPERATIONS = (
    Operation(
        name="plans.create",
        summary="Create a plan",
        description=(
            "A plan is a list of items: so many units of a feature, how often they start anew, and "
            "what more of them costs. An item with `entity_feature_id` is given to each entity of "
            "that feature. Prices are kept and shown; nothing is charged."
        ),
        request=PlanCreateRequest,
        response=PlanView,
        handle=_create,
        rule=rules.plan_create,
        errors=(
            errors.PlanExistsError,
            errors.FeatureNotFoundError,
            errors.InvalidItemError,
            errors.InvalidPriceError,
            errors.InvalidRequestError,
            errors.NotSupportedError,
        ),
        example=EXAMPLES["plans.create"],
    ),
    Operation(
        name="plans.get",
        summary="Get a plan",
        description="Returns the latest version of a plan.",
        request=PlanGetRequest,
        response=PlanView,
        handle=_get,
        rule=rules.plan_named,
        errors=(errors.PlanNotFoundError,),
        example=EXAMPLES["plans.get"],
        reads=always,
    ),
    Operation(
        name="plans.list",
        summary="List plans",
        description="Returns plans, oldest first; archived ones only with `include_archived`.",
        request=PlanListRequest,
        response=PlanListResponse,
        handle=_list,
        rule=rules.plan_list,
        errors=(),
        example=EXAMPLES["plans.list"],
        reads=always,
    ),
)
